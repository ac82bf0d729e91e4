// What the low-level interface needs of the node: its items, and keys of other servers.

/// An item as scripts hold it: a copy.
package struct LowLevelItem: Sendable, Equatable {
    package var key: [UInt8]
    package var data: [UInt8]
    package var flags: UInt32 = 0
    /// An instant in unix seconds; 0 never.
    package var expiry = Expiry.never

    package init(key: [UInt8], data: [UInt8], flags: UInt32 = 0, expiry: Expiry = .never) {
        self.key = key
        self.data = data
        self.flags = flags
        self.expiry = expiry
    }
}

/// Where a script's items are. Called by one thread at a time.
package protocol LowLevelServices: Sendable {
    func get(_ key: [UInt8]) -> LowLevelItem?
    /// False when there is no room for it.
    func put(_ item: LowLevelItem) -> Bool
    func delete(_ key: [UInt8])
    /// Makes room for that many bytes, at the cost of what was not used for long.
    func deleteLeastUsed(bytes: Int)
    /// In order, at most `limit`.
    func keys(prefix: [UInt8], limit: Int) -> [[UInt8]]
    func log(_ line: String)
}

/// For scripts that are only looked at.
struct LowLevelPlaceholders: LowLevelServices {
    func get(_ key: [UInt8]) -> LowLevelItem? { nil }
    func put(_ item: LowLevelItem) -> Bool { false }
    func delete(_ key: [UInt8]) {}
    func deleteLeastUsed(bytes: Int) {}
    func keys(prefix: [UInt8], limit: Int) -> [[UInt8]] { [] }
    func log(_ line: String) {}
}

/// All items of the node, whichever shard they belong to.
struct NodeItems: LowLevelServices {
    let stores: ItemStores
    let placement: KeyPlacement
    let environment: any Environment
    let logs: @Sendable (String) -> Void

    func get(_ key: [UInt8]) -> LowLevelItem? {
        key.withUnsafeBytes { bytes in
            let hash = placement.hash(of: bytes)
            var command = MetaCommand(.get)
            command.options = .wantsValue
            let outcome = stores[hash].execute(
                .meta(command, value: []), key: bytes, hash: hash, now: environment.unixSeconds)
            guard case .meta(let answer) = outcome, answer.status == .found else { return nil }
            return LowLevelItem(key: key, data: answer.value, flags: answer.facts.flags, expiry: answer.facts.expiry)
        }
    }

    func put(_ item: LowLevelItem) -> Bool {
        guard Key.refusal(ofBytes: item.key) == nil else { return false }
        return item.key.withUnsafeBytes { bytes in
            let hash = placement.hash(of: bytes)
            let command = ItemCommand.store(.set, flags: item.flags, expiry: item.expiry, cas: 0, value: item.data)
            return stores[hash].execute(command, key: bytes, hash: hash, now: environment.unixSeconds) == .stored
        }
    }

    func delete(_ key: [UInt8]) {
        key.withUnsafeBytes { bytes in
            let hash = placement.hash(of: bytes)
            _ = stores[hash].delete(key: bytes, hash: hash, now: environment.unixSeconds)
        }
    }

    func deleteLeastUsed(bytes: Int) {
        for store in stores.all { store.evict(bytes: bytes / stores.count, now: environment.unixSeconds) }
    }

    func keys(prefix: [UInt8], limit: Int) -> [[UInt8]] {
        let keys = stores.all.flatMap { $0.keys(prefix: prefix, limit: limit, now: environment.unixSeconds) }
        // Objects on the shelf begin with a zero byte: nobody else's.
        return Array(keys.filter { $0.first != 0 }.sorted { $0.lexicographicallyPrecedes($1) }.prefix(limit))
    }

    func log(_ line: String) { logs(line) }
}
