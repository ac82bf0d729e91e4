// What a node is asked for most: keys that are read, and objects whose methods are called.

package struct Hottest: Sendable {
    package enum Kind: String, Sendable { case key, object }

    package let kind: Kind
    package let counted: HotKey

    /// `{key, count, error}`, or of an object, as `type:name`, `{object, count, error}`: the true count lies between count - error
    /// and count.
    package var value: Value {
        .object([
            kind.rawValue: .bytes(counted.key), "count": .int(Int64(clamping: counted.count)),
            "error": .int(Int64(clamping: counted.error)),
        ])
    }
}

extension Engine {
    /// Keys and objects together, the most asked for first.
    package func hottest(limit: Int) -> [Hottest] {
        // What lives on one shard does on no other, so that the shards' lists have nothing in common.
        let all = shards.flatMap { shard in
            shard.items.hotKeys(limit: limit).map { Hottest(kind: .key, counted: $0) }
                + shard.objects.hottest(limit: limit).map { Hottest(kind: .object, counted: $0) }
        }
        let sorted = all.sorted { a, b in
            let (a, b) = (a.counted, b.counted)
            return a.count != b.count ? a.count > b.count : a.key.lexicographicallyPrecedes(b.key)
        }
        return Array(sorted.prefix(limit))
    }
}
