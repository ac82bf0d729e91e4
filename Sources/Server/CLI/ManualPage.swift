// The manual page, made from what the parser of the command line says of itself: mdoc, as `man` and `mandoc` read it.

import Engine

struct ManualPage {
    private var lines: [String] = []

    /// `help`: the parser's own description of all commands. `date`: as pages have it, `November 30, 2026`.
    init(help: Value, date: String) {
        let command = help["command"] ?? .null
        let name = command["commandName"]?.text ?? ""
        lines += [
            ".Dd \(date)", ".Dt \(name.uppercased()) 1", ".Os", ".Sh NAME", ".Nm \(name)",
            ".Nd " + Self.escaped(Self.withoutEnd(command["abstract"]?.text ?? "")),
            ".Sh SYNOPSIS", ".Nm", ".Op Ar command", ".Op Ar options", ".Sh DESCRIPTION",
            "Without a command,", ".Nm", "runs a node, as", ".Cm serve", "does.",
            "Of every command, and of", ".Nm", "itself, the option", ".Fl -help", "says what it takes, and",
            ".Fl -version",
            "the version.",
        ]
        lines.append(".Sh COMMANDS")
        for child in Self.list(command["subcommands"]) { add(child, below: []) }
        lines += [
            ".Sh ENVIRONMENT", ".Bl -tag -width Ds", ".It Ev CACHEISMO_PASSWORD", "The password that goes with",
            ".Fl -login .", ".It Ev CACHEISMO_CONFIG", "The file of", ".Fl -config ,", "unless that is given.",
            ".It Ev CACHEISMO_MEMORY , CACHEISMO_LISTEN , No ...",
            "Options of", ".Cm serve", "by their long names: in capitals, with", ".Sq _", "for", ".Sq \\- .",
            "A flag is", ".Ql true", "or", ".Ql false ;",
            "of what may be given several times the values stand between commas.",
            "An empty one is none.", "They go before the file, and the command line before them.",
            ".It Ev NOTIFY_SOCKET", "Where a service manager is told that a node is ready,",
            "reads its files again, or ends.",
            ".El",
        ]
        lines +=
            Self.files + [
                ".Sh EXIT STATUS", ".Bl -tag -width Ds", ".It 0",
                "It was done, or the answer is complete; a node was told to end, and has.",
                ".It 1", "It was not; standard error says why in one line.", ".It 64",
                "The command line is not understood, or options of a node can't be used.",
                "Standard error says each in a line.",
                ".El",
            ]
    }

    /// What a file of options may have.
    private static let files = [
        ".Sh FILES", ".Bl -tag -width Ds", ".It Pa /etc/cacheismo/cacheismo.conf",
        "Options of the node that Debian's package runs.", ".El", ".Pp",
        "A file that is given with", ".Fl -config", "has an option a line, as on the command line,", ".Ql \\-m 64",
        "or",
        ".Ql \\-\\-memory 64 ,", "or as TOML has it,", ".Ql memory = 64 .", "A", ".Ql #",
        "at the start of a line, or behind a blank, begins a comment.",
    ]

    var text: String { lines.joined(separator: "\n") + "\n" }

    // MARK: Commands

    private mutating func add(_ command: Value, below parents: [String]) {
        let name = command["commandName"]?.text ?? ""
        // Of the help that each command has; and what nobody is to see.
        guard Self.isShown(command), name != "help" else { return }
        let path = parents + [name]
        let children = Self.list(command["subcommands"])
        guard children.isEmpty else {
            for child in children { add(child, below: path) }
            return
        }
        let arguments = Self.list(command["arguments"]).filter {
            Self.isShown($0) && !["help", "version"].contains($0["valueName"]?.text ?? "")
        }
        let positional = arguments.filter { $0["kind"]?.text == "positional" }
        let words = positional.map { " Ar " + Self.word($0["valueName"]?.text ?? "") }
        lines.append(".Ss cacheismo " + path.joined(separator: " ") + words.joined())
        addText(command["abstract"]?.text ?? "")
        guard !arguments.isEmpty else { return }
        lines.append(".Bl -tag -width Ds")
        for argument in arguments {
            lines.append(".It " + Self.title(of: argument))
            addText(Self.about(argument))
        }
        lines.append(".El")
    }

    private static func title(of argument: Value) -> String {
        let value = word(argument["valueName"]?.text ?? "")
        if argument["kind"]?.text == "positional" { return "Ar \(value)" }
        let takesValue = argument["kind"]?.text == "option"
        return list(argument["names"]).map { name in
            let dash = name["kind"]?.text == "long" ? "-" : ""
            return "Fl \(dash)\(word(name["name"]?.text ?? ""))" + (takesValue ? " Ar \(value)" : "")
        }.joined(separator: " , ")
    }

    private static func about(_ argument: Value) -> String {
        var notes: [String] = []
        let values = list(argument["allValues"]).compactMap(\.text)
        if !values.isEmpty { notes.append("values: \(values.joined(separator: ", "))") }
        if let byDefault = argument["defaultValue"]?.text, !byDefault.isEmpty { notes.append("default: \(byDefault)") }
        let about = argument["abstract"]?.text ?? ""
        guard !notes.isEmpty else { return about.isEmpty ? "See above." : about }
        return "\(about)\(about.isEmpty ? "" : " ")(\(notes.joined(separator: "; ")))"
    }

    // MARK: Text

    /// A sentence a line, or several, as mdoc wants it.
    private mutating func addText(_ text: String) {
        var line = ""
        func end() {
            if !line.isEmpty { lines.append(line) }
            line = ""
        }
        for word in text.split(separator: " ") {
            let next = Self.escaped((line.isEmpty ? "" : " ") + word)
            if line.utf8.count + next.utf8.count > Self.lineBytesMax { end() }
            line += line.isEmpty ? Self.escaped(String(word)) : next
            if let last = word.last, ".!?".contains(last) { end() }
        }
        end()
    }

    private static let lineBytesMax = 78

    /// One that a macro takes as it is.
    private static func word(_ text: String) -> String { "\\&" + escaped(text.replacing(" ", with: "\\ ")) }

    private static func escaped(_ text: String) -> String {
        let body = text.unicodeScalars.reduce(into: "") { out, scalar in
            switch scalar {
            case "\\": out += "\\e"
            case "-": out += "\\-"
            case _ where scalar.isASCII: out.unicodeScalars.append(scalar)
            default:
                let digits = String(scalar.value, radix: 16, uppercase: true)
                out += "\\[u" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits + "]"
            }
        }
        return body.hasPrefix(".") || body.hasPrefix("'") ? "\\&" + body : body
    }

    private static func withoutEnd(_ text: String) -> String { text.hasSuffix(".") ? String(text.dropLast()) : text }

    private static func isShown(_ value: Value) -> Bool { value["shouldDisplay"] != .bool(false) }

    private static func list(_ value: Value?) -> [Value] {
        guard case .array(let list)? = value else { return [] }
        return list
    }
}
