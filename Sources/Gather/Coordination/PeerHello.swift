// The line that turns a memcached connection into a peer's or a command's, and says who is calling.

/// `peer <version> <name> <epoch>[ forwards]\r\n`; a command-line client calls itself `-` and knows no epoch. Older versions
/// begin with such a line too, so that each can refuse the other in words.
package struct PeerHello: Sendable, Equatable {
    /// What the connection is for.
    package enum Purpose: Sendable, Equatable {
        case anything
        /// The commands of clients, and nothing that is large or takes long: the thread that serves clients answers.
        case forwards
    }

    package static let version = 8

    package var version: Int
    package var name: String
    /// The ring that the caller believes in; nil for a client, which has none.
    package var epoch: UInt64?
    package var purpose: Purpose

    package init(name: String, epoch: UInt64?, purpose: Purpose = .anything) {
        version = Self.version
        self.name = name
        self.epoch = epoch
        self.purpose = purpose
    }

    package static let client = PeerHello(name: "-", epoch: nil)

    package var isClient: Bool { name == "-" }

    package var line: String {
        let purpose = purpose == .forwards ? " \(Self.forwardsWord)" : ""
        return "peer \(version) \(name) \(epoch.map { String($0, radix: 16) } ?? "-")\(purpose)\r\n"
    }

    private static let forwardsWord = "forwards"

    /// From the line without its end; nil when it is none.
    package init?(line: String) {
        let words = line.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 4 || words.count == 5 && words[4] == Self.forwardsWord, words[0] == "peer",
            let version = Int(words[1]), !words[2].isEmpty
        else { return nil }
        self.version = version
        name = String(words[2])
        purpose = words.count == 5 ? .forwards : .anything
        if words[3] == "-" {
            epoch = nil
        } else {
            guard let epoch = UInt64(words[3], radix: 16) else { return nil }
            self.epoch = epoch
        }
    }
}
