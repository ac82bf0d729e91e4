// The object types that every node has, as scripts.

enum BuiltInTypes {
    static let scripts = [
        ObjectScript(file: "bloom.lua", source: PackageResources.bloom_lua),
        ObjectScript(file: "counter.lua", source: PackageResources.counter_lua),
        ObjectScript(file: "digest.lua", source: PackageResources.digest_lua),
        ObjectScript(file: "hll.lua", source: PackageResources.hll_lua),
        ObjectScript(file: "list.lua", source: PackageResources.list_lua),
        ObjectScript(file: "lock.lua", source: PackageResources.lock_lua),
        ObjectScript(file: "map.lua", source: PackageResources.map_lua),
        ObjectScript(file: "quota.lua", source: PackageResources.quota_lua),
        ObjectScript(file: "session.lua", source: PackageResources.session_lua),
        ObjectScript(file: "set.lua", source: PackageResources.set_lua),
        ObjectScript(file: "swcounter.lua", source: PackageResources.swcounter_lua),
        ObjectScript(file: "topk.lua", source: PackageResources.topk_lua),
    ]
    /// Methods that change their object and need no journal for it: whatever can fail in them comes before the first write or
    /// is that write, and what they write after it are fields that are there already, to what was made before. They see the tables
    /// themselves. They hold at most some dozen instructions, and once they run no budget ends between two of them.
    static let direct: [String: Set<String>] = [
        "counter": ["add", "sub", "reset"], "map": ["put", "delete"],
        "quota": ["addandcheck", "reset"], "set": ["put", "delete"], "swcounter": ["add"],
    ]

    /// Whether a script is one of these, unchanged: its readonly methods are known to write nothing.
    static func contains(hash: UInt64) -> Bool { hashes.contains(hash) }
    private static let hashes = Set(scripts.map(\.hash))
}
