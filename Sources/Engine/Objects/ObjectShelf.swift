// Where objects go that have not been used for a while: encoded, into the shard's item store, which may evict them.

/// A place for encoded objects. Called under the script gate, one call at a time.
package protocol ObjectShelf: Sendable {
    /// False when there is no room for it; the object then stays live.
    func put(_ key: [UInt8], _ bytes: [UInt8]) -> Bool
    /// Gives back and forgets; nil when it was never there or was evicted.
    func take(_ key: [UInt8]) -> [UInt8]?
    func remove(_ key: [UInt8])
}

extension ItemStore: ObjectShelf {
    package func put(_ key: [UInt8], _ bytes: [UInt8]) -> Bool {
        onShelf(.store(.set, flags: 0, expiry: 0, cas: 0, value: bytes), key) == .stored
    }

    package func take(_ key: [UInt8]) -> [UInt8]? {
        guard case .value(_, _, let bytes) = onShelf(.get, key) else { return nil }
        remove(key)
        return bytes
    }

    package func remove(_ key: [UInt8]) { _ = onShelf(.delete, key) }

    private func onShelf(_ command: ItemCommand, _ key: [UInt8]) -> ItemOutcome {
        key.withUnsafeBytes { execute(command, key: $0, hash: keyHash($0), now: unixSeconds()) }
    }
}

/// An object's identity within its shard.
struct ObjectKey: Hashable {
    let type: String
    let name: [UInt8]

    /// No client can send this as a key: it begins with a zero byte.
    var shelfKey: [UInt8] { Array("\0obj\0\(type)\0".utf8) + name }
}
