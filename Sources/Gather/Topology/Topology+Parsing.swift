// The text of `--peers`, `n1=127.0.0.1:11211,n2=[::1]:11212*2`, read into a topology; each mistake is one clear line.

package import Engine

extension Topology {
    /// Reads a list of `NAME=HOST:PORT[*WEIGHT]`, separated by commas, an IPv6 address in brackets.
    /// Throws as `init(nodes:selfName:)` does, and when a part of the text is missing or not what it should be.
    package init(peers: String, selfName: String? = nil) throws(Failure) {
        var nodes: [Node] = []
        for entry in peers.split(separator: ",", omittingEmptySubsequences: false) {
            nodes.append(try Node(peer: entry.trimming(" ")))
        }
        try self.init(nodes: nodes, selfName: selfName)
    }
}

extension Node {
    /// Reads one `NAME=HOST:PORT[*WEIGHT]`.
    init(peer entry: Substring) throws(Failure) {
        func refused(_ why: String) -> Failure {
            Failure(.wrongType, "peer '\(entry)' \(why): write NAME=HOST:PORT, as in n1=127.0.0.1:11211")
        }
        guard !entry.isEmpty else { throw refused("is empty") }
        guard let equals = entry.firstIndex(of: "=") else { throw refused("has no name") }
        let name = entry[..<equals]
        guard !name.isEmpty, name.utf8.allSatisfy(Self.isNameByte) else {
            throw refused("has no proper name (letters, digits, '.', '_', '-')")
        }
        var address = entry[entry.index(after: equals)...]
        var weight = 1
        if let star = address.firstIndex(of: "*") {
            guard let number = Self.number(address[address.index(after: star)...], in: 1...Self.weightMax) else {
                throw refused("has a weight that is no number from 1 to \(Self.weightMax)")
            }
            weight = number
            address = address[..<star]
        }
        let (host, portText) = try Self.split(address, orThrow: refused)
        guard !portText.isEmpty else { throw refused("has no port") }
        guard let port = Self.number(portText, in: 1...65_535) else {
            throw refused("has a port that is no number from 1 to 65535")
        }
        self.init(name: String(name), host: String(host), port: port, weight: weight)
    }

    private static let weightMax = 1_000_000

    /// Host and port of `host:port` or `[address]:port`; the port is empty where there is none.
    private static func split(
        _ address: Substring, orThrow refused: (String) -> Failure
    ) throws(Failure) -> (host: Substring, port: Substring) {
        if address.first == "[" {
            guard let close = address.firstIndex(of: "]") else { throw refused("opens a bracket and never closes it") }
            let host = address.dropFirst()[..<close]
            guard host.contains(":"), host.utf8.allSatisfy(isHostByte) else {
                throw refused("has no IPv6 address in its brackets")
            }
            let rest = address[address.index(after: close)...]
            guard rest.isEmpty || rest.first == ":" else { throw refused("has something after its brackets") }
            return (host, rest.dropFirst())
        }
        let parts = address.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2 else { throw refused("has an IPv6 address without brackets") }
        guard let host = parts.first, !host.isEmpty else { throw refused("has no host") }
        guard host.utf8.allSatisfy(isHostByte) else { throw refused("has a host that is no name or address") }
        return (host, parts.count == 2 ? parts[1] : "")
    }

    /// A whole number written in digits alone.
    private static func number(_ text: Substring, in range: ClosedRange<Int>) -> Int? {
        guard text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else { return nil }
        return Int(text).flatMap { range.contains($0) ? $0 : nil }
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."):
            true
        default: false
        }
    }

    /// Host names, IPv4 and IPv6 addresses, with the zone of a link-local one (`fe80::1%eth0`).
    private static func isHostByte(_ byte: UInt8) -> Bool {
        isNameByte(byte) || byte == UInt8(ascii: ":") || byte == UInt8(ascii: "%")
    }
}

extension Substring {
    fileprivate func trimming(_ character: Character) -> Substring {
        let start = drop { $0 == character }
        guard let last = start.lastIndex(where: { $0 != character }) else { return "" }
        return start[...last]
    }
}
