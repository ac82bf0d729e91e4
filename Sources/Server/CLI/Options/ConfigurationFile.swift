// What a file given with --config says: an option a line, as on the command line and in memcached's Debian file, or as
// TOML has it.

/// Pure: bytes in, settings and faults out.
///
///     # a comment                      -m 64          memory = 64
///     --memory 64                      -vv            listen = ["127.0.0.1", "::1"]
///     --log-format=json                -l 127.0.0.1   disable-flush-all = true
package struct ConfigurationFile: Sendable {
    package private(set) var settings: [OptionSetting] = []
    /// A line for people each, with the place.
    package private(set) var faults: [String] = []
    /// What is passed over.
    package private(set) var notes: [String] = []

    private let path: String
    private let table: OptionTable
    /// Where each option was given.
    private var lines: [String: Int] = [:]

    static let bytesMax = 1 << 20

    package init(_ bytes: [UInt8], path: String, table: OptionTable) {
        (self.path, self.table) = (path, table)
        guard bytes.count <= Self.bytesMax else {
            faults.append("\(path): more than \(Self.bytesMax >> 20) MiB: this is no file of options")
            return
        }
        let mark: [UInt8] = [0xEF, 0xBB, 0xBF]
        let text = bytes.starts(with: mark) ? bytes.dropFirst(mark.count) : bytes[...]
        for (index, line) in text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            do throws(ConfigurationFault) { try take(line, number: index + 1) } catch {
                faults.append("\(path):\(index + 1): \(error.words)")
            }
        }
    }

    // MARK: A line

    private mutating func take(_ bytes: ArraySlice<UInt8>, number: Int) throws(ConfigurationFault) {
        guard !bytes.contains(0) else { throw ConfigurationFault("a byte 0: this is no text file") }
        var line = LineCursor(CommandLineBytes.text(Array(bytes)))
        line.skipBlanks()
        guard !line.isOver else { return }
        if line.next == "-" { return try takeArgument(&line, number) }
        guard line.next != "[" else {
            throw ConfigurationFault("there are no tables here: one option a line, as in memory = 64")
        }
        let name = line.word()
        line.skipBlanks()
        guard line.next == "=" else { return try takeWord(name, number) }
        line.advance()
        guard let option = name.count == 1 ? table.find(short: name.first ?? " ") : table.find(long: name) else {
            throw unknown(name)
        }
        try add(option, values: try Self.values(&line, of: option, name), number, mayRepeat: false)
    }

    /// As on the command line.
    private mutating func takeArgument(_ line: inout LineCursor, _ number: Int) throws(ConfigurationFault) {
        line.advance()
        if line.next == "-" {
            line.advance()
            let name = line.word()
            guard let option = table.find(long: name) else { throw unknown("--\(name)") }
            if line.next == "=" { line.advance() }
            return try addArgument(option, named: "--\(name)", &line, number)
        }
        guard let letter = line.next, let option = table.find(short: letter) else { throw unknown("-\(line.word())") }
        line.advance()
        guard option.repeats, !option.takesValue else {
            return try addArgument(option, named: "-\(letter)", &line, number)
        }
        var times = 1
        while line.next == letter {
            times += 1
            line.advance()
        }
        guard line.isAtEnd else { throw ConfigurationFault("-\(letter) takes no value; one option a line") }
        try add(option, values: Array(repeating: "", count: times), number, mayRepeat: true)
    }

    private mutating func addArgument(
        _ option: OptionTable.Option, named name: String, _ line: inout LineCursor, _ number: Int
    ) throws(ConfigurationFault) {
        guard option.takesValue else {
            guard line.isAtEnd else { throw ConfigurationFault("\(name) takes no value; one option a line") }
            guard option.key != "daemon" else {
                return notes.append("\(path):\(number): \(name) is passed over: the process stays in the foreground")
            }
            return try add(option, values: [""], number, mayRepeat: true)
        }
        line.skipBlanks()
        guard !line.isAtEnd else { throw ConfigurationFault("\(name) wants a value, as in \(name) VALUE") }
        let value = try line.value(endsAt: [])
        guard line.isAtEnd else {
            throw ConfigurationFault("'\(line.rest)' behind the value of \(name): one option a line")
        }
        try add(option, values: [value], number, mayRepeat: true)
    }

    /// Debian's start script reads where the log goes from the same file.
    private mutating func takeWord(_ name: String, _ number: Int) throws(ConfigurationFault) {
        if name == "logfile" {
            return notes.append("\(path):\(number): logfile is passed over: the log goes to standard error")
        }
        guard table.find(long: name) != nil else { throw unknown(name) }
        throw ConfigurationFault("write it as \(name) = VALUE, or as --\(name) VALUE")
    }

    private mutating func add(
        _ option: OptionTable.Option, values: [String], _ number: Int, mayRepeat: Bool
    ) throws(ConfigurationFault) {
        guard !["config", "check", "help", "version", "V"].contains(option.key) else {
            throw ConfigurationFault("\(option.title) belongs on the command line")
        }
        if let first = lines[option.key], !(option.repeats && mayRepeat) {
            throw ConfigurationFault("\(option.title) was given on line \(first) already; leave one of the two out")
        }
        lines[option.key] = number
        settings.append(OptionSetting(option: option, values: values, place: "\(path):\(number)"))
    }

    private func unknown(_ name: String) -> ConfigurationFault {
        let hint =
            table.suggestion(for: String(name.drop { $0 == "-" }))
            .map { "did you mean \($0)?" } ?? "see cacheismo serve --help"
        return ConfigurationFault("there is no option '\(name)'; \(hint)")
    }

    // MARK: TOML

    private static func values(
        _ line: inout LineCursor, of option: OptionTable.Option, _ name: String
    ) throws(ConfigurationFault) -> [String] {
        line.skipBlanks()
        guard !line.isAtEnd else { throw ConfigurationFault("\(name) wants a value behind the =") }
        guard line.next == "[" else {
            let value = try line.value(endsAt: [])
            guard line.isAtEnd else {
                throw ConfigurationFault("'\(line.rest)' behind the value of \(name): one option a line")
            }
            return option.takesValue ? [value] : try times(value, option, name)
        }
        guard option.takesValue, option.repeats else {
            throw ConfigurationFault("\(name) takes one value, not several")
        }
        line.advance()
        var values: [String] = []
        while true {
            line.skipBlanks()
            if line.next == "]" { break }
            guard !line.isAtEnd else { throw ConfigurationFault("the values of \(name) have no ] on their line") }
            values.append(try line.value(endsAt: [",", "]"]))
            line.skipBlanks()
            if line.next == "," {
                line.advance()
            } else if line.next != "]" {
                throw ConfigurationFault("the values of \(name): write a comma between two, and a ] at the end")
            }
        }
        line.advance()
        guard line.isAtEnd else {
            throw ConfigurationFault("'\(line.rest)' behind the values of \(name): one option a line")
        }
        guard !values.isEmpty else {
            throw ConfigurationFault("\(name) wants a value; leave the line out if there is none")
        }
        return values
    }

    /// How often a flag counts as given.
    private static func times(_ value: String, _ option: OptionTable.Option, _ name: String) throws(ConfigurationFault)
        -> [String]
    {
        guard let times = FlagWord.times(value, repeats: option.repeats) else {
            throw ConfigurationFault("\(name) is true or false, not '\(value)'")
        }
        return Array(repeating: "", count: times)
    }
}

/// What is wrong with a line, and what to do.
private struct ConfigurationFault: Error {
    let words: String
    init(_ words: String) { self.words = words }
}

/// What a flag is set to, in files and variables.
enum FlagWord {
    /// How often it counts as given; nil for what is no such word. `repeats`: a number of times is one, too.
    static func times(_ word: String, repeats: Bool) -> Int? {
        switch word.lowercased() {
        case "true", "yes", "on", "1": 1
        case "false", "no", "off", "0": 0
        default: repeats ? Int(word).flatMap { (0...9).contains($0) ? $0 : nil } : nil
        }
    }
}

/// Goes along a line; a `#` behind a blank begins a comment.
private struct LineCursor {
    private let letters: [Character]
    private var at = 0

    init(_ text: String) {
        var letters = Array(text)
        while let last = letters.last, last.isWhitespace { letters.removeLast() }
        self.letters = letters
    }

    var next: Character? { at < letters.count ? letters[at] : nil }
    /// Without the blanks in front.
    var rest: String { String(letters[at...].drop(while: \.isWhitespace)) }
    private var isAtComment: Bool { next == "#" && (at == 0 || letters[at - 1].isWhitespace) }
    var isOver: Bool { next == nil || isAtComment }

    mutating func advance() { at += 1 }

    mutating func skipBlanks() { while let letter = next, letter.isWhitespace { at += 1 } }

    /// But for blanks and a comment.
    var isAtEnd: Bool {
        var copy = self
        copy.skipBlanks()
        return copy.isOver
    }

    /// A name: up to a blank or a `=`.
    mutating func word() -> String {
        let start = at
        while let letter = next, !letter.isWhitespace, letter != "=" { at += 1 }
        return String(letters[start..<at])
    }

    /// In quotes, where it may have anything, or as it stands, up to one of `ends`, a comment or the line's end.
    mutating func value(endsAt ends: Set<Character>) throws(ConfigurationFault) -> String {
        guard let quote = next, quote == "\"" || quote == "'" else {
            let start = at
            while let letter = next, !ends.contains(letter), !isAtComment { at += 1 }
            var value = letters[start..<at]
            while let last = value.last, last.isWhitespace { value.removeLast() }
            return String(value)
        }
        at += 1
        var value = ""
        while let letter = next {
            at += 1
            if letter == quote { return value }
            guard letter == "\\", quote == "\"" else {
                value.append(letter)
                continue
            }
            guard let escaped = next, let meant = ["\"": "\"", "\\": "\\", "t": "\t"][escaped] else {
                throw ConfigurationFault("\\ stands before \", \\ or t; between ' it stands for itself")
            }
            at += 1
            value += meant
        }
        throw ConfigurationFault("the text has no \(quote) at its end")
    }
}
