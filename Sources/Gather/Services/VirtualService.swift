// What a built-in type that is no object is: its methods, and who performs them.

package import Engine

/// The methods of a service: the cases, by their names as keys spell them.
package protocol ServiceMethod: RawRepresentable<String>, CaseIterable, Sendable {
    /// The object's name is the first argument.
    var signature: MethodSignature { get }
    /// Whether it takes a data block.
    var takesData: Bool { get }
    /// Whether it changes nothing, so that it may be asked again.
    var isReadonly: Bool { get }
    /// What whoever calls it does.
    var action: ClientAction { get }
}

extension ServiceMethod {
    package var takesData: Bool { false }
    package var isReadonly: Bool { true }
}

/// What a service was asked, and by when an answer is wanted.
package struct ServiceCall: Sendable {
    package let key: VirtualKey
    package let data: [UInt8]?
    package let deadline: Deadline
    /// Of whoever calls, who may do what the method is for; what it leads to may want more.
    package let roles: Roles
}

/// Answers virtual keys of one type: `frame`, `job`, `node`, `object`, `index`. Asked on any node, answered there.
package protocol VirtualService: Sendable {
    associatedtype Method: ServiceMethod
    var type: String { get }
    func perform(_ method: Method, _ call: ServiceCall, _ router: Router, completion: @escaping CallCompletion)
    /// The same as text. It is made where the answer comes from: of a large one that takes long, and whoever asked is an event
    /// loop.
    func performForText(_ method: Method, _ call: ServiceCall, _ router: Router, completion: @escaping TextCompletion)
}

extension VirtualService {
    /// Nil for a method that there isn't.
    func isReadonly(_ method: String) -> Bool? { Method(rawValue: method)?.isReadonly }

    func action(_ method: String) -> ClientAction? { Method(rawValue: method)?.action }

    package func performForText(
        _ method: Method, _ call: ServiceCall, _ router: Router, completion: @escaping TextCompletion
    ) {
        perform(method, call, router) { completion($0.map { .bytes($0.answer) }) }
    }

    /// Fails with `script_error` for a key that names no method, or gives it something else than it takes.
    func call(_ call: ServiceCall, _ router: Router, completion: @escaping CallCompletion) {
        do throws(Failure) {
            perform(try method(of: call), call, router, completion: completion)
        } catch {
            completion(.failure(error))
        }
    }

    func callForText(_ call: ServiceCall, _ router: Router, completion: @escaping TextCompletion) {
        do throws(Failure) {
            performForText(try method(of: call), call, router, completion: completion)
        } catch {
            completion(.failure(error))
        }
    }

    private func method(of call: ServiceCall) throws(Failure) -> Method {
        let key = call.key
        guard let method = Method(rawValue: key.method) else {
            let known = Method.allCases.map(\.rawValue).sorted().joined(separator: ", ")
            throw Failure(.scriptError, "\(type) has no method '\(key.method.prefix(40))'; there are \(known)")
        }
        let prefix = "\(type):\(method.rawValue)"
        if let data = call.data, !data.isEmpty, !method.takesData {
            throw Failure(.scriptError, "\(prefix) takes no data block: get \(method.signature.form(prefix))")
        }
        let count = key.object.isEmpty && key.arguments.isEmpty ? 0 : 1 + key.arguments.count
        try method.signature.check(count, prefix: prefix)
        return method
    }
}
