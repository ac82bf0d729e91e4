// Where objects go that have not been used for a while: encoded, into the shard's item store, which may evict them.

/// A place for encoded objects. Called under the script gate, one call at a time.
package protocol ObjectShelf: Sendable {
    /// False when there is no room for it; the object then stays live.
    func put(_ key: [UInt8], _ bytes: [UInt8], expiry: Expiry) -> Bool
    /// Gives back and forgets; nil when it was never there, was evicted or has expired.
    func take(_ key: [UInt8]) -> [UInt8]?
    func remove(_ key: [UInt8])
    func contains(_ key: [UInt8]) -> Bool
    /// What `take` would give; it stays.
    func look(_ key: [UInt8]) -> [UInt8]?
    /// All keys that begin so, in no order.
    func keys(prefix: [UInt8]) -> [[UInt8]]
    /// What the live objects take of the memory that they share with the shelf, in bytes.
    func share(_ bytes: Int)
}

extension ItemStore: ObjectShelf {
    package func put(_ key: [UInt8], _ bytes: [UInt8], expiry: Expiry) -> Bool {
        onShelf(.store(.set, flags: 0, expiry: expiry, cas: 0, value: bytes), key) == .stored
    }

    package func take(_ key: [UInt8]) -> [UInt8]? {
        guard let bytes = look(key) else { return nil }
        remove(key)
        return bytes
    }

    package func look(_ key: [UInt8]) -> [UInt8]? {
        guard case .value(_, _, let bytes) = onShelf(.get, key) else { return nil }
        return bytes
    }

    package func keys(prefix: [UInt8]) -> [[UInt8]] {
        slice(prefix: prefix, from: 0, count: .max, now: configuration.environment.unixSeconds) {}.items.map(\.key)
    }

    package func remove(_ key: [UInt8]) { _ = onShelf(.delete, key) }

    package func contains(_ key: [UInt8]) -> Bool {
        key.withUnsafeBytes { holds(key: $0, hash: keyHash($0), now: configuration.environment.unixSeconds) }
    }

    package func share(_ bytes: Int) { lend(bytes: bytes, now: configuration.environment.unixSeconds) }

    private func onShelf(_ command: ItemCommand, _ key: [UInt8]) -> ItemOutcome {
        key.withUnsafeBytes { execute(command, key: $0, hash: keyHash($0), now: configuration.environment.unixSeconds) }
    }
}

/// An object's identity within its shard.
struct ObjectKey: Hashable {
    let type: String
    let name: [UInt8]

    /// No client can send this as a key: it begins with a zero byte.
    var shelfKey: [UInt8] { Array("\0obj\0\(type)\0".utf8) + name }

    /// Whether a key of the item store is an object's.
    static func isOnShelf(_ key: UnsafeRawBufferPointer) -> Bool {
        guard key.first == 0, key.count > 4 else { return false }
        return key[1] == UInt8(ascii: "o") && key[2] == UInt8(ascii: "b") && key[3] == UInt8(ascii: "j") && key[4] == 0
    }
}
