// `object:…` virtual keys: which object types there are, and what their methods do.

package import Engine

package struct ObjectService: VirtualService {
    package let type = "object"
    package let methods = [
        "list": MethodSignature(), "describe": MethodSignature(parameters: ["type"], least: 1),
    ]

    package init() {}

    package func call(
        _ key: VirtualKey, data: [UInt8]?, deadline: Deadline, router: Router, completion: @escaping CallCompletion
    ) {
        let types = router.engine.objectTypes
        guard key.method == "describe" else { return completion(.success(Self.list(types))) }
        let name = String(decoding: key.object, as: UTF8.self)
        if let type = types.types[name] { return completion(.success(Self.describe(type))) }
        if let handlers = types.lowLevel?.methods[name] {
            return completion(
                .success(
                    .object([
                        "type": .string(name), "file": .string("\(name).lua"),
                        "handlers": .array(handlers.sorted().map { .string($0) }),
                    ])))
        }
        completion(.failure(Failure(.scriptError, "there is no object type '\(name)'; see object:list")))
    }

    private static func list(_ types: ObjectTypes) -> Value {
        .array((Array(types.types.keys) + Array(types.lowLevel?.methods.keys ?? [:].keys)).sorted().map { .string($0) })
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
