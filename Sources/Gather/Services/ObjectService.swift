// `object:…` virtual keys: which object types there are, and what their methods do.

package import Engine

package struct ObjectService: VirtualService {
    package let type = "object"

    package enum Method: String, ServiceMethod {
        case list, describe

        package var signature: MethodSignature {
            switch self {
            case .list: MethodSignature()
            case .describe: MethodSignature(parameters: ["type"], least: 1)
            }
        }

        package var action: ClientAction {
            switch self {
            case .list, .describe: .describe
            }
        }
    }

    package init() {}

    package func perform(
        _ method: Method, _ call: ServiceCall, _ router: Router, completion: @escaping CallCompletion
    ) {
        let types = router.engine.objectTypes
        switch method {
        case .list: completion(.success(Self.list(types)))
        case .describe: completion(Self.describe(String(decoding: call.key.object, as: UTF8.self), types))
        }
    }

    private static func describe(_ name: String, _ types: ObjectTypes) -> Result<Value, Failure> {
        if let type = types.types[name] { return .success(describe(type)) }
        guard let handlers = types.handlers?.methods[name] else {
            return .failure(Failure(.scriptError, "there is no object type '\(name)'; see object:list"))
        }
        return .success(
            .object([
                "type": .string(name), "file": .string("\(name).lua"),
                "handlers": .array(handlers.sorted().map { .string($0) }),
            ]))
    }

    private static func list(_ types: ObjectTypes) -> Value {
        .array((Array(types.types.keys) + Array(types.handlers?.methods.keys ?? [:].keys)).sorted().map { .string($0) })
    }

    private static func describe(_ type: ObjectType) -> Value {
        let own = type.methods.sorted { a, b in a == "new" ? b != "new" : b != "new" && a < b }.map { name in
            describe(
                type.documentation.method(name), type.signatures[name], of: type.name,
                isReadonly: type.readonly.contains(name))
        }
        let common = CommonVerb.allCases.filter { !type.methods.contains($0.rawValue) }.map { verb in
            describe(
                verb.documentation, verb.signature ?? type.signatures["new"], of: type.name, isReadonly: verb.isReadonly
            )
        }
        return .object([
            "type": .string(type.name), "about": .string(type.documentation.about), "file": .string(type.file),
            "version": .string(String(type.hash, radix: 16)), "pinned": .bool(type.isPinned),
            "indexes": .array(type.indexes.map { .string("\(type.name).\($0)") }),
            "methods": .array(own + common),
        ])
    }

    private static func describe(
        _ method: MethodDocumentation, _ signature: MethodSignature?, of type: String, isReadonly: Bool
    ) -> Value {
        .object([
            "name": .string(method.name),
            "form": .string((signature ?? MethodSignature(isOpen: true)).form("\(type):\(method.name):NAME")),
            "arguments": .array((signature?.parameters ?? method.arguments).map { .string($0) }),
            "readonly": .bool(isReadonly), "about": .string(method.about),
        ])
    }
}
