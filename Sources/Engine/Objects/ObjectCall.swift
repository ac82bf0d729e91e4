// One call of a method, from a virtual key to its completion.

/// What a caller asked for and where the answer goes.
struct ObjectCall: Sendable {
    let key: VirtualKey
    let data: [UInt8]?
    let deadline: Deadline
    let completion: @Sendable (Result<Value, Failure>) -> Void
}

/// What the gate admits: a method, or a change of the whole table or of the types.
enum ObjectTurn: Sendable {
    case call(ObjectCall)
    case removeAll(@Sendable () -> Void)
    case install(ObjectTypes, @Sendable ([Failure]) -> Void)
    /// Looks at objects, on the pool only.
    case inspect(@Sendable (Result<ObjectMachine, Failure>) -> Void)

    func refuse(_ failure: Failure) {
        switch self {
        case .call(let call): call.completion(.failure(failure))
        case .removeAll(let completion): completion()
        case .install(_, let completion): completion([failure])
        case .inspect(let body): body(.failure(failure))
        }
    }
}
