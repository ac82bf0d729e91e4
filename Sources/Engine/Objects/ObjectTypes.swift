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
    /// The shared files that it requires, and those that they do, by name.
    let required: [String: [UInt8]]

    /// The same on every node that has the same script, and the same files that it requires.
    package var hash: UInt64 { script.hash }
    var script: ObjectScript { ObjectScript(file: file, source: source, required: required) }
}

/// An immutable registry, shared by all shards.
package final class ObjectTypes: Sendable {
    package let types: [String: ObjectType]
    /// Scripts that are no type's; nil where there are none.
    package let handlers: HandlerScripts?
    /// Every `type:method`, handlers too.
    let table: MethodTable
    /// Tells this version from all others of the process.
    let version: UInt64
    private static let versions = Atomic<UInt64>(0)

    /// Methods that change their object without a journal, by the names of their types; as long as those are the built-in ones.
    package static var directMethods: [String: Set<String>] { BuiltInTypes.direct }

    /// The types that need no script.
    package static let builtIn: ObjectTypes = {
        do throws(Failure) {
            let types = try BuiltInTypes.scripts.map { (script) throws(Failure) in try ObjectType(describing: script) }
            return ObjectTypes(types: Dictionary(uniqueKeysWithValues: types.map { ($0.name, $0) }), handlers: nil)
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

    /// The built-in types and what is right among the scripts, and what is wrong with the others, by file.
    package static func checking(_ scripts: [ObjectScript]) -> (types: ObjectTypes, faults: [String: Failure]) {
        let assessed = ScriptAssessment(scripts)
        return (ObjectTypes(assessed), assessed.failures)
    }

    /// The built-in types and what is right among the scripts.
    convenience init(_ assessed: ScriptAssessment) {
        var types = Self.builtIn.types.merging(assessed.types) { $1 }
        for name in assessed.handlers?.methods.keys ?? [:].keys { types[name] = nil }
        self.init(types: types, handlers: assessed.handlers)
    }

    private init(types: [String: ObjectType], handlers: HandlerScripts?) {
        var names: [(type: String, method: String)] = []
        func add(_ type: String, _ methods: Set<String>) {
            for method in methods.sorted() { names.append((type, method)) }
        }
        for type in types.values.sorted(by: { $0.name < $1.name }) {
            add(type.name, type.methods.union(CommonVerb.allCases.map(\.rawValue)))
        }
        for (name, methods) in handlers?.methods ?? [:] { add(name, methods) }
        self.types = types
        self.handlers = handlers
        table = MethodTable(names)
        version = Self.versions.wrappingAdd(1, ordering: .relaxed).newValue
    }

    /// Whether a type's methods are handlers.
    package func hasHandlers(type: String) -> Bool { handlers?.methods[type] != nil }

    package func isMethod(type: String, method: String) -> Bool { types[type]?.methods.contains(method) == true }

    package func isReadonly(type: String, method: String) -> Bool { types[type]?.readonly.contains(method) == true }

    /// Whether a key begins with a known `type:` and has another colon: it names a method, or one that there isn't. Cost: for
    /// most plain keys a search for a colon; nothing is allocated.
    package func names(_ key: UnsafeRawBufferPointer) -> Bool { table.find(key) != .nothing }

    /// Why a key's type can't answer it: there is no such method. Nil for a method, and where there is no such type.
    package func refusal(of key: VirtualKey) -> Failure? {
        if let methods = handlers?.methods[key.type] {
            return methods.contains(key.method) ? nil : Self.noMethod(key, of: methods, common: false)
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
    /// Shared files, by name: those that it may require, or does.
    let required: [String: [UInt8]]

    package init(file: String, source: [UInt8]) { self.init(file: file, source: source, required: [:]) }

    init(file: String, source: [UInt8], required: [String: [UInt8]]) {
        self.file = file
        self.source = source
        self.required = required
    }

    /// What others call it where they require it; nil where its name is none.
    var sharedName: String? { HandlerScripts.stem(of: file) }

    /// What is wrong with it, in a sentence that goes on after its name.
    func failure(_ text: String) -> Failure {
        Failure(.scriptError, "\(file): \(text)", about: .named(file))
    }

    /// FNV-1a of the source, and of what it requires.
    var hash: UInt64 {
        func hashing(_ bytes: some Sequence<UInt8>, _ hash: UInt64) -> UInt64 {
            bytes.reduce(hash) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
        }
        return required.sorted { $0.key < $1.key }.reduce(hashing(source, 0xCBF2_9CE4_8422_2325)) { hash, file in
            hashing(file.value, hashing([0] + Array(file.key.utf8) + [0], hash))
        }
    }
}
