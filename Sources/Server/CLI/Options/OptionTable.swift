// Which options `serve` has, as the parser of the command line says of itself: nothing is told twice.

import ArgumentParser
package import Engine

package struct OptionTable: Sendable {
    package struct Option: Sendable {
        let longs: [String]
        let shorts: [Character]
        let takesValue: Bool
        /// Each time that it is given counts.
        let repeats: Bool

        /// What it is known by here; the same for all of its names.
        var key: String { longs.first ?? String(shorts.prefix(1)) }

        /// As people write it.
        var title: String { longs.first.map { "--\($0)" } ?? "-\(key)" }

        /// What the parser takes for one value: in one piece, so that a value may look like an option.
        func argument(_ value: String) -> String { longs.isEmpty ? title + value : "\(title)=\(value)" }
    }

    let options: [Option]
    private let byLong: [String: Int]
    private let byShort: [Character: Int]

    /// `help`: the parser's own description of all commands.
    package init(help: Value, command: String) {
        let found = Self.list(help["command"]?["subcommands"]).first { $0["commandName"]?.text == command }
        options = Self.list(found?["arguments"]).map { argument in
            let names = Self.list(argument["names"])
            func named(_ kind: String) -> [String] {
                names.filter { $0["kind"]?.text == kind }.compactMap { $0["name"]?.text }
            }
            return Option(
                longs: named("long"), shorts: named("short").compactMap(\.first),
                takesValue: argument["kind"]?.text == "option", repeats: argument["isRepeating"] == .bool(true))
        }
        var (byLong, byShort): ([String: Int], [Character: Int]) = ([:], [:])
        for (index, option) in options.enumerated() {
            for name in option.longs { byLong[Self.plain(name)] = index }
            for name in option.shorts { byShort[name] = index }
        }
        (self.byLong, self.byShort) = (byLong, byShort)
    }

    /// Cost: the parser describes all commands, some milliseconds.
    package static func ofServe() -> OptionTable {
        let help = (try? Value(parsingJSON: Array(Cacheismo._dumpHelp().utf8))) ?? .null
        return OptionTable(help: help, command: "serve")
    }

    private static func list(_ value: Value?) -> [Value] {
        guard case .array(let list)? = value else { return [] }
        return list
    }

    /// In files and variables people write `_` for `-`.
    private static func plain(_ name: String) -> String { name.lowercased().replacing("_", with: "-") }

    func find(long name: String) -> Option? { byLong[Self.plain(name)].map { options[$0] } }

    func find(short name: Character) -> Option? { byShort[name].map { options[$0] } }

    /// The keys of what is given on a command line; what is no option there is passed over, the parser will say so.
    func keys(of arguments: [String]) -> Set<String> {
        var keys: Set<String> = []
        for argument in arguments {
            if argument == "--" { break }
            if argument.hasPrefix("--") {
                if let option = find(long: String(argument.dropFirst(2).prefix { $0 != "=" })) {
                    keys.insert(option.key)
                }
            } else if argument.hasPrefix("-") {
                for name in argument.dropFirst() {
                    guard let option = find(short: name) else { break }
                    keys.insert(option.key)
                    // The rest is its value.
                    if option.takesValue { break }
                }
            }
        }
        return keys
    }

    /// What somebody may have meant who wrote `name`; nil where nothing is like it.
    func suggestion(for name: String) -> String? {
        let wanted = Array(Self.plain(name))
        let near = options.flatMap(\.longs).map { ($0, Self.distance(wanted, Array(Self.plain($0)))) }
            .min { ($0.1, $0.0) < ($1.1, $1.0) }
        guard let near, near.1 <= max(1, wanted.count / 3) else { return nil }
        return near.0
    }

    /// How many letters are to be changed, put in, left out or exchanged with the next one.
    private static func distance(_ a: [Character], _ b: [Character]) -> Int {
        var rows = [Array(0...b.count)]
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var best = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, rows[i - 1][j - 1] + 1) }
                row.append(best)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }
}

/// An option as a file or a variable gives it.
package struct OptionSetting: Sendable {
    let option: OptionTable.Option
    /// For each time that it is given; of a flag without meaning but for how many there are.
    let values: [String]
    /// For people: `FILE:LINE`, or a variable.
    let place: String

    var arguments: [String] { values.map { option.takesValue ? option.argument($0) : option.title } }
}
