// What a person reads who starts a node on a terminal: where it listens, and, without any option given, how to go on.

package struct StartNotice {
    package let text: String

    /// - Parameters:
    ///   - addresses: where memcached's clients and commands find it.
    ///   - sockets: paths of unix sockets, for clients of this machine.
    ///   - http: where it answers HTTP, if it does.
    ///   - isAlone: no option was given.
    package init(node: String, addresses: [String], sockets: [String], http: String?, isAlone: Bool) {
        var lines = ["\(node) is up, and listens for"]
        if !addresses.isEmpty {
            lines.append("  memcached's clients, and cacheismo's commands, on \(Self.list(addresses))")
        }
        if !sockets.isEmpty { lines.append("  memcached's clients on the unix socket \(Self.list(sockets))") }
        if let http { lines.append("  HTTP, and browsers, on http://\(http)/") }
        if isAlone {
            lines += [
                "Ctrl-C ends it. In another terminal, for a start:",
                "  cacheismo set greeting hello && cacheismo get greeting",
                "  cacheismo query quota:new:alice:5:day && cacheismo query quota:addandcheck:alice:3",
                "  cacheismo top",
                "With --http 127.0.0.1:8211 it has a page, too; cacheismo demo shows three nodes and their jobs, "
                    + "cacheismo --help all commands.",
            ]
        } else {
            lines.append("Ctrl-C ends it.")
        }
        text = lines.joined(separator: "\n")
    }

    private static func list(_ places: [String]) -> String { places.joined(separator: ", ") }
}
