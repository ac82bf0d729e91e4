// What a client does who names a key: a plain one's value is read or changed, a virtual one's method is called, and needs its role.

package import Engine

extension Router {
    /// What calling a virtual key is.
    package func action(of key: VirtualKey) -> ClientAction {
        if let service = service(of: key) { return service.action(key.method) ?? .describe }
        return isReadonly(key) ?? true ? .callReadonly : .callMethod
    }

    /// Why whoever has these roles may not call it; nil where they may. Cost: a look at the types.
    package func refusal(of key: VirtualKey, _ roles: Roles) -> Failure? {
        guard roles != .all else { return nil }
        return roles.refusal(of: action(of: key), "\(key.type):\(key.method)")
    }

    /// The same of any key. `plain`: what `name` does to it where it is a plain one's. Cost: for who may write next to nothing, as only
    /// services want more than that.
    package func refusal(
        of key: UnsafeRawBufferPointer, virtual: Bool, plain: ClientAction, _ name: StaticString, _ roles: Roles
    ) -> Failure? {
        guard !roles.includes(.write) || mayBeService(key) && key.contains(0x3A) else { return nil }
        guard case .virtual(let virtualKey) = route(key, virtual: virtual) else {
            return roles.refusal(of: plain, name.description)
        }
        return refusal(of: virtualKey, roles)
    }

    /// The same, as a command or a job names it.
    package func refusal(of key: [UInt8], plain: ClientAction, _ roles: Roles) -> Failure? {
        key.withUnsafeBytes { refusal(of: $0, virtual: true, plain: plain, plain == .readItem ? "get" : "set", roles) }
    }
}
