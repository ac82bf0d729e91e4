// The line that turns a memcached connection into a peer's or a command's, and says who is calling.

/// `peer <version> <name> <epoch>\r\n`; a command-line client calls itself `-` and knows no epoch. Older versions begin with
/// such a line too, so that each can refuse the other in words.
package struct PeerHello: Sendable, Equatable {
    package static let version = 5

    package var version: Int
    package var name: String
    /// The ring that the caller believes in; nil for a client, which has none.
    package var epoch: UInt64?

    package init(name: String, epoch: UInt64?) {
        version = Self.version
        self.name = name
        self.epoch = epoch
    }

    package static let client = PeerHello(name: "-", epoch: nil)

    package var isClient: Bool { name == "-" }

    package var line: String { "peer \(version) \(name) \(epoch.map { String($0, radix: 16) } ?? "-")\r\n" }

    /// From the line without its end; nil when it is none.
    package init?(line: String) {
        let words = line.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 4, words[0] == "peer", let version = Int(words[1]), !words[2].isEmpty else { return nil }
        self.version = version
        name = String(words[2])
        if words[3] == "-" {
            epoch = nil
        } else {
            guard let epoch = UInt64(words[3], radix: 16) else { return nil }
            self.epoch = epoch
        }
    }
}
