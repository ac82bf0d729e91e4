// The limits and switches of a memcached session.

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
    /// memcached's -X switches off what lists keys.
    package var allowsDump = true
    /// Who may use the cache (memcached's -Y); nil: everybody.
    package var credentials: Credentials?
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
    package var wireProtocol = "auto-negotiate"
    /// memcached's -C was given.
    package var hidesUniques = false

    package init() {}
}
