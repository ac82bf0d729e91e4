// The object types a node knows: their methods, which of them only read, and their scripts' hashes.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// One type, as declared by its script.
package struct ObjectType: Sendable {
    package let name: String
    /// The public methods, `new` included.
    package let methods: Set<String>
    /// Those that do not change their object: they may be retried, hedged, or answered by a replica.
    package let readonly: Set<String>
    package let source: [UInt8]
    /// The script's name in error messages.
    package let file: String

    /// FNV-1a of the source: the same on every node that has the same script.
    package var hash: UInt64 {
        source.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
    }
}

/// An immutable registry, shared by all shards.
package final class ObjectTypes: Sendable {
    package let types: [String: ObjectType]
    /// `type:method` by its hash, so that a key is looked up without making strings of it.
    private let prefixes: [UInt64: [[UInt8]]]

    /// `set`, `map`, `quota` and `swcounter`.
    package static let builtIn: ObjectTypes = {
        do throws(Failure) {
            return try ObjectTypes(scripts: builtInScripts)
        } catch {
            preconditionFailure("a built-in type is broken: \(error)")
        }
    }()

    private static let builtInScripts = [
        ObjectScript(file: "map.lua", source: PackageResources.map_lua),
        ObjectScript(file: "quota.lua", source: PackageResources.quota_lua),
        ObjectScript(file: "set.lua", source: PackageResources.set_lua),
        ObjectScript(file: "swcounter.lua", source: PackageResources.swcounter_lua),
    ]

    /// The built-in types and those declared in `scripts`, which may replace them.
    /// - Throws: `script_error` that names the file.
    package convenience init(adding scripts: [ObjectScript]) throws(Failure) {
        let added = try scripts.map { (script) throws(Failure) in try ObjectType(describing: script) }
        try self.init(types: Self.byName(added), under: Self.builtIn.types)
    }

    private convenience init(scripts: [ObjectScript]) throws(Failure) {
        let types = try scripts.map { (script) throws(Failure) in try ObjectType(describing: script) }
        try self.init(types: Self.byName(types), under: [:])
    }

    private init(types: [String: ObjectType], under others: [String: ObjectType]) throws(Failure) {
        let all = others.merging(types) { $1 }
        var prefixes: [UInt64: [[UInt8]]] = [:]
        for type in all.values {
            for method in type.methods {
                let prefix = Array("\(type.name):\(method)".utf8)
                prefix.withUnsafeBytes { prefixes[keyHash($0), default: []].append(prefix) }
            }
        }
        self.types = all
        self.prefixes = prefixes
    }

    private static func byName(_ types: [ObjectType]) throws(Failure) -> [String: ObjectType] {
        var named: [String: ObjectType] = [:]
        for type in types {
            if let other = named.updateValue(type, forKey: type.name) {
                throw Failure(.scriptError, "\(other.file) and \(type.file) both declare '\(type.name)'; remove one")
            }
        }
        return named
    }

    package func isMethod(type: String, method: String) -> Bool { types[type]?.methods.contains(method) == true }

    package func isReadonly(type: String, method: String) -> Bool { types[type]?.readonly.contains(method) == true }

    /// Whether a key begins with a known `type:method:`. Cost: a scan for two colons and one hash; nothing is allocated.
    package func names(_ key: UnsafeRawBufferPointer) -> Bool {
        guard let base = key.baseAddress,
            let first = memchr(base, 0x3A, key.count).map({ UnsafeRawPointer($0) - base }),
            let second = memchr(base + first + 1, 0x3A, key.count - first - 1).map({ UnsafeRawPointer($0) - base })
        else { return false }
        let prefix = UnsafeRawBufferPointer(rebasing: key[..<second])
        guard let candidates = prefixes[keyHash(prefix)] else { return false }
        return candidates.contains { prefix.elementsEqual($0) }
    }
}

/// The text of a type's script.
package struct ObjectScript: Sendable {
    package let file: String
    package let source: [UInt8]

    package init(file: String, source: [UInt8]) {
        self.file = file
        self.source = source
    }
}
