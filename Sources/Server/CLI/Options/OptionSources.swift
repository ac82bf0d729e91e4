// Where a node's options come from: a file, variables, the command line, each of which goes before those it follows; and
// which place a fault is to be blamed on.

import ArgumentParser
import Engine

/// An option that is given in one place takes the place of what an earlier one says of it, also where it may be given several
/// times. The parser of the command line gets all of them as arguments.
package struct OptionSources: Sendable {
    /// For the parser.
    package private(set) var arguments: [String]
    /// What the file and the variables add to the command line.
    package private(set) var settings: [OptionSetting] = []
    /// Of the file and the variables, a line for people each.
    package private(set) var faults: [String] = []
    /// What is passed over, a line each.
    package private(set) var notes: [String] = []

    private let commandLine: [String]
    private static let prefix = "CACHEISMO_"
    /// Variables of that prefix that are no options of `serve`.
    private static let others: Set<String> = ["CACHEISMO_PASSWORD", "CACHEISMO_CONFIG"]
    /// They ask something of the parser, not of a node.
    private static let questions = ["-h", "--help", "-help", "-V", "--version"]

    /// - Parameters:
    ///   - commandLine: without the program's name.
    ///   - table: asked for only where there is a file or a variable.
    ///   - read: a file's bytes.
    package init(
        commandLine: [String], environment: [String: String], table: () -> OptionTable = OptionTable.ofServe,
        read: (String) throws -> [UInt8]
    ) {
        arguments = commandLine
        self.commandLine = commandLine
        guard Self.isServe(commandLine) else { return }
        let variables = environment.filter {
            $0.key.hasPrefix(Self.prefix) && !Self.others.contains($0.key) && !$0.value.isEmpty
        }
        let path = fileNamed(in: commandLine) ?? environment["CACHEISMO_CONFIG"].flatMap { $0.isEmpty ? nil : $0 }
        guard path != nil || !variables.isEmpty else { return }
        let table = table()
        var layers = [variableSettings(variables.sorted { $0.key < $1.key }, table)]
        if let path {
            do {
                let file = ConfigurationFile(try read(path), path: path, table: table)
                faults = file.faults + faults
                notes = file.notes + notes
                layers.insert(file.settings, at: 0)
            } catch {
                let reason = (error as? Failure)?.message ?? "\(error)"
                faults.insert("--config \(path): \(reason)", at: 0)
            }
        }
        merge(layers, table.keys(of: commandLine))
        arguments = Self.arguments(settings, commandLine)
    }

    // MARK: The command line

    /// Serving is what is done without a command's name.
    private static func isServe(_ arguments: [String]) -> Bool {
        guard let first = arguments.first else { return true }
        guard first == "serve" || first.hasPrefix("-") else { return false }
        return !arguments.contains {
            questions.contains($0) || $0.hasPrefix("--generate-completion-script") || $0.hasPrefix("--experimental-")
        }
    }

    private mutating func fileNamed(in arguments: [String]) -> String? {
        var paths: [String] = []
        for (index, argument) in arguments.enumerated() {
            if argument == "--config", index + 1 < arguments.count { paths.append(arguments[index + 1]) }
            if argument.hasPrefix("--config=") { paths.append(String(argument.dropFirst("--config=".count))) }
        }
        if paths.count > 1 { faults.append("--config was given \(paths.count) times: there is one file, name one") }
        return paths.last
    }

    private static func arguments(_ settings: [OptionSetting], _ commandLine: [String]) -> [String] {
        let rest = commandLine.first == "serve" ? commandLine.dropFirst() : commandLine[...]
        return ["serve"] + settings.flatMap(\.arguments) + rest
    }

    // MARK: Variables

    private mutating func variableSettings(
        _ variables: [(key: String, value: String)], _ table: OptionTable
    ) -> [OptionSetting] {
        var settings: [OptionSetting] = []
        var places: [String: String] = [:]
        for (variable, value) in variables {
            let name = String(variable.dropFirst(Self.prefix.count))
            guard let option = Self.option(name, table) else {
                let hint = table.suggestion(for: name).map { "; did you mean \(Self.variable($0))?" } ?? ""
                notes.append("\(variable) is passed over, as there is no such option\(hint)")
                continue
            }
            if option.key == "port", value.contains("://") {
                notes.append(
                    "\(variable)=\(value) is passed over: Kubernetes sets it for a service of this name; "
                        + "enableServiceLinks: false keeps it away")
                continue
            }
            if let other = places[option.key] {
                faults.append("\(variable): \(other) says the same already; leave one of the two out")
                continue
            }
            places[option.key] = variable
            guard let values = Self.values(value, of: option) else {
                faults.append("\(variable)=\(value): \(option.title) is true or false")
                continue
            }
            settings.append(OptionSetting(option: option, values: values, place: variable))
        }
        return settings
    }

    /// What is asked of this start alone is no variable's.
    private static func option(_ name: String, _ table: OptionTable) -> OptionTable.Option? {
        let option = name.count == 1 ? table.find(short: name.first ?? " ") : table.find(long: name)
        guard let option, option.longs.isEmpty || name.count > 1 else { return nil }
        return ["check", "help", "version", "V"].contains(option.key) ? nil : option
    }

    private static func variable(_ name: String) -> String {
        prefix + name.uppercased().replacing("-", with: "_")
    }

    private static func values(_ text: String, of option: OptionTable.Option) -> [String]? {
        guard option.takesValue else {
            return FlagWord.times(text, repeats: option.repeats).map { Array(repeating: "", count: $0) }
        }
        return option.repeats ? text.split(separator: ",").map(String.init) : [text]
    }

    // MARK: Together

    private mutating func merge(_ layers: [[OptionSetting]], _ keysOfCommandLine: Set<String>) {
        for (index, layer) in layers.enumerated() {
            let later = layers[(index + 1)...].flatMap { $0.map(\.option.key) }
            settings += layer.filter { setting in
                let key = setting.option.key
                return !later.contains(key) && !keysOfCommandLine.contains(key)
            }
        }
    }

    /// For people: where one of these options, as in `--peers`, was given; nil where the command line says it, or nothing does.
    package func place(of titles: [String]) -> String? {
        settings.first { titles.contains($0.option.title) && !$0.values.isEmpty }?.place
    }

    /// All there is to say against the options: what is wrong with the file and the variables as such, and what the parser does
    /// not take, with the place.
    ///
    /// A complaint is blamed on the first setting without which there is none, or another one: it is left out, and the rest is
    /// looked at again. Cost: a pass of the parser for each setting and fault; only where there is a fault.
    package func allFaults() -> [String] {
        var (lines, rest) = (faults, settings)
        while let words = Self.complaint(Self.arguments(rest, commandLine)) {
            let blamed = rest.indices.first { index in
                var without = rest
                without.remove(at: index)
                return Self.complaint(Self.arguments(without, commandLine)) != words
            }
            guard let blamed else { return lines + [words] }
            lines.append("\(rest.remove(at: blamed).place): \(words)")
        }
        return lines
    }

    /// What the parser has against the arguments, in a line; nil where it has nothing, or was asked for help.
    package static func complaint(_ arguments: [String]) -> String? {
        do {
            _ = try Cacheismo.parseAsRoot(arguments)
            return nil
        } catch {
            guard Cacheismo.exitCode(for: error) != .success else { return nil }
            return Cacheismo.message(for: error).split(separator: "\n").joined(separator: " ")
        }
    }
}
