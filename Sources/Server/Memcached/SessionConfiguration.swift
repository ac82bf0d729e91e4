// The limits and switches of a memcached session.

package import Gather

/// Which of memcached's protocols clients may speak.
package enum WireProtocol: Sendable {
    case text, binary
    /// The first byte of a connection says which.
    case either

    /// As `-B` takes it, and `stats settings` tells it.
    package init?(option: String) {
        switch option {
        case "ascii": self = .text
        case "binary": self = .binary
        case "auto": self = .either
        default: return nil
        }
    }

    var settingName: String {
        switch self {
        case .text: "ascii"
        case .binary: "binary"
        case .either: "auto-negotiate"
        }
    }
}

package struct SessionConfiguration: Sendable {
    /// A larger data block is refused and swallowed; the store refuses a little earlier, as it counts key and header.
    package var itemBytesMax = 1 << 20
    /// `type:method:object` names a method.
    package var allowsVirtualKeys = true
    /// memcached's -F switches it off.
    package var allowsFlush = true
    /// memcached's -A switches it on.
    package var allowsShutdown = false
    /// Clients may have expired items looked for, and keys listed, from the start.
    package var allowsCrawls = true
    /// Clients may watch what others do; memcached's -W switches it off.
    package var allowsWatch = true
    /// memcached's -X switches off what lists keys.
    package var allowsDump = true
    /// Who may use the cache (memcached's -Y); nil: everybody.
    package var credentials: Credentials?
    /// What of memcached's protocols is spoken (memcached's -B).
    package var wireProtocol = WireProtocol.either
    /// Of clients on other machines, where nobody has to say who they are.
    package var openRoles = Roles.asMemcached
    /// Where logins are counted; nil: nowhere.
    package var desk: LoginDesk?
    /// A connection whose first line is `peer …` becomes a peer's.
    package var allowsPeers = true
    /// Connections silent for longer are closed; 0 never.
    package var idleTimeoutSeconds = 0
    /// A client that takes nothing of its answers for so long is cut off; 0 never.
    package var readerTimeoutMilliseconds = 30_000
    package var verbosity = 0
    /// Answers that wait for another node or a method, at most, before the session stops consuming.
    package var pendingMax = 1024
    /// What all those answers may have in bytes, as far as can be told before they come.
    package var answerBytesMax = 16 << 20
    /// Bytes that wait behind such an answer, at most.
    package var queuedBytesMax = 8 << 20
    /// Output is handed over, and the peer's appetite looked at, whenever this much has gathered.
    package var outputBytesHigh = 256 << 10
    /// What all connections together may hold of half-sent requests and unread answers: see `BufferAccount`.
    package var bufferBytesMax = 16 << 20
    /// A line of a retrieval may hold any number of keys up to here; all other lines have 2,048 bytes.
    package var retrievalLineBytesMax = 1 << 20

    /// `stats detail` counts by the part of a key before this (memcached's -D).
    package var prefixDelimiter = UInt8(ascii: ":")
    /// Counts from the start, without `stats detail on`.
    package var countsPrefixes = false

    // What `stats settings` tells and nothing here depends on.
    package var memoryBytes = 64 << 20
    package var connectionsMax = 1024
    package var port = 11211
    package var threads = 1
    package var evicts = true
    package var address = "127.0.0.1"
    package var unixSocketPath: String?
    package var unixSocketMode: UInt32 = 0o700
    package var backlog = 1024
    /// memcached's -C was given.
    package var hidesUniques = false

    package init() {}
}
