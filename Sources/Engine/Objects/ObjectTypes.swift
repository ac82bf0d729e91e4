// The object types a node knows: their methods, which of them only read, and their scripts' hashes.

import Synchronization

/// One type, as declared by its script.
package struct ObjectType: Sendable {
    package let name: String
    /// The public methods, `new` included.
    package let methods: Set<String>
    /// Those that do not change their object: they may be asked again.
    package let readonly: Set<String>
    /// Those of them that have an index: their answers order the objects.
    package let indexes: [String]
    /// Its objects are never evicted.
    package let isPinned: Bool
    package let documentation: TypeDocumentation
    /// How many arguments its methods take, by their names.
    package let signatures: [String: MethodSignature]
    package let source: [UInt8]
    /// The script's name in error messages.
    package let file: String

    /// The same on every node that has the same script.
    package var hash: UInt64 { script.hash }
    var script: ObjectScript { ObjectScript(file: file, source: source) }
}

/// An immutable registry, shared by all shards.
package final class ObjectTypes: Sendable {
    package let types: [String: ObjectType]
    /// Scripts for the low-level interface; nil where there are none.
    package let lowLevel: LowLevelScripts?
    /// Every `type:method`, of the low-level interface too.
    let table: MethodTable
    /// Tells this version from all others of the process.
    let version: UInt64
    private static let versions = Atomic<UInt64>(0)

    /// The types that need no script.
    package static let builtIn: ObjectTypes = {
        do throws(Failure) {
            let types = try BuiltInTypes.scripts.map { (script) throws(Failure) in try ObjectType(describing: script) }
            return ObjectTypes(types: Dictionary(uniqueKeysWithValues: types.map { ($0.name, $0) }), lowLevel: nil)
        } catch {
            preconditionFailure("a built-in type is broken: \(error)")
        }
    }()

    /// The built-in types and those declared in `scripts`, which may replace them.
    /// - Throws: `script_error` that names the first file that is wrong.
    package convenience init(adding scripts: [ObjectScript]) throws(Failure) {
        let assessed = ScriptAssessment(scripts)
        if let first = assessed.failures.min(by: { $0.key < $1.key }) { throw first.value }
        self.init(assessed)
    }

    /// The built-in types and what is right among the scripts.
    convenience init(_ assessed: ScriptAssessment) {
        var types = Self.builtIn.types.merging(assessed.types) { $1 }
        for name in assessed.lowLevel?.methods.keys ?? [:].keys { types[name] = nil }
        self.init(types: types, lowLevel: assessed.lowLevel)
    }

    private init(types: [String: ObjectType], lowLevel: LowLevelScripts?) {
        var names: [(type: String, method: String)] = []
        func add(_ type: String, _ methods: Set<String>) {
            for method in methods.sorted() { names.append((type, method)) }
        }
        for type in types.values.sorted(by: { $0.name < $1.name }) {
            add(type.name, type.methods.union(CommonVerb.allCases.map(\.rawValue)))
        }
        for (name, methods) in lowLevel?.methods ?? [:] { add(name, methods) }
        self.types = types
        self.lowLevel = lowLevel
        table = MethodTable(names)
        version = Self.versions.wrappingAdd(1, ordering: .relaxed).newValue
    }

    /// Whether a type's methods are handlers for the low-level interface.
    package func isLowLevel(type: String) -> Bool { lowLevel?.methods[type] != nil }

    package func isMethod(type: String, method: String) -> Bool { types[type]?.methods.contains(method) == true }

    package func isReadonly(type: String, method: String) -> Bool { types[type]?.readonly.contains(method) == true }

    /// Whether a key begins with a known `type:` and has another colon: it names a method, or one that there isn't. Cost: for
    /// most plain keys a search for a colon; nothing is allocated.
    package func names(_ key: UnsafeRawBufferPointer) -> Bool { table.find(key) != .nothing }

    /// Why a key's type can't answer it: there is no such method. Nil for a method, and where there is no such type.
    package func refusal(of key: VirtualKey) -> Failure? {
        if let handlers = lowLevel?.methods[key.type] {
            return handlers.contains(key.method) ? nil : Self.noMethod(key, of: handlers, common: false)
        }
        guard let type = types[key.type], !type.methods.contains(key.method), CommonVerb(rawValue: key.method) == nil
        else { return nil }
        return Self.noMethod(key, of: type.methods)
    }

    /// - Parameter own: the methods that the type itself has.
    static func noMethod(_ key: VirtualKey, of own: some Sequence<String>, common: Bool = true) -> Failure {
        let all = Set(own).union(common ? CommonVerb.allCases.map(\.rawValue) : []).sorted().joined(separator: ", ")
        return Failure(
            .scriptError, "the type \(key.type) has no method '\(key.method.prefix(40))'; there are \(all)")
    }
}

/// The text of a type's script.
package struct ObjectScript: Sendable, Equatable {
    package let file: String
    package let source: [UInt8]

    package init(file: String, source: [UInt8]) {
        self.file = file
        self.source = source
    }

    /// FNV-1a of the source.
    var hash: UInt64 { source.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 } }
}
