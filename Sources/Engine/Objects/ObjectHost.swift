// A shard's objects as the rest of the node sees them: asynchronous calls, one at a time under the script gate, long ones on
// the compute pool.

import Synchronization

/// Runs methods inline on the calling thread while the gate is free. Calls that find it taken wait in line, and whoever
/// leaves the gate performs them: a few on its own thread, the rest on the pool, so that no event loop is held.
package final class ObjectHost: @unchecked Sendable {
    private let configuration: ObjectHostConfiguration
    let compute: ComputePool
    let gate: ScriptGate<ObjectTurn>
    /// Touched only by whoever holds the gate.
    let machine: ObjectMachine
    private let hot = HotObjects()
    private let published = PublishedStatistics()
    private let refused = Atomic<Int>(0)
    /// What its methods were called for, and how many objects of each type are live.
    package let meters = MethodMeters()

    var inlineNanoseconds: UInt64 { configuration.inlineNanoseconds }

    package init(
        types: ObjectTypes, shelf: any ObjectShelf, compute: ComputePool,
        configuration: ObjectHostConfiguration = ObjectHostConfiguration()
    ) {
        self.configuration = configuration
        self.compute = compute
        gate = ScriptGate(waitingMax: configuration.waitingMax)
        machine = ObjectMachine(
            types: types, configuration: configuration, shelf: shelf, meters: meters, hot: hot)
        published.publish(machine.statistics)
    }

    /// Those that are called most, as `type:name`.
    func hottest(limit: Int) -> [HotKey] { hot.hottest(limit: limit) }

    /// Calls a method; `data`, from a data block, becomes its last argument. The completion is called once, on this thread
    /// before `call` returns or on another one later. Calls made one after the other on one thread are performed in that
    /// order.
    ///
    /// Fails with `miss` (no such object), `script_error`, `budget_exceeded`, `timeout` (the deadline came first) or
    /// `overloaded`; the object is then as it was.
    package func call(
        _ key: VirtualKey, data: [UInt8]?, deadline: Deadline,
        completion: @escaping @Sendable (Result<Value, Failure>) -> Void
    ) {
        enter(.call(ObjectCall(key: key, data: data, deadline: deadline, completion: completion)))
    }

    /// Forgets all live objects (shelved ones are the item store's). Later calls find none. Never refused; the completion is
    /// called under the gate.
    package func removeAll(completion: @escaping @Sendable () -> Void = {}) {
        enter(.removeAll(completion), mayExceed: true)
    }

    /// Has these types from now on, after the calls that came before. The completion gets what could not be loaded.
    package func install(_ types: ObjectTypes, completion: @escaping @Sendable ([Failure]) -> Void = { _ in }) {
        enter(.install(types, completion))
    }

    /// Runs `body` under the gate, on this thread of the pool or another one, with the objects as they are between two calls;
    /// or with the failure that it can't be. To be called on a thread of the pool. `mayExceed`: it is never refused.
    func inspect(
        mayExceed: Bool = false, _ body: @escaping @Sendable (Result<ObjectMachine, Failure>) -> Void
    ) {
        enter(.inspect(body), onPool: true, mayExceed: mayExceed)
    }

    /// Objects decoded in memory.
    package var count: Int { published.value.live }

    /// Figures as of the last call that ended.
    package var statistics: ObjectStatistics {
        var snapshot = published.value
        snapshot.refused = refused.load(ordering: .relaxed)
        return snapshot
    }

    /// Calls that wait for the gate now.
    package var waiting: Int { gate.waitingCount }

    // MARK: Turns

    private func enter(_ turn: ObjectTurn, onPool: Bool = false, mayExceed: Bool = false) {
        switch gate.enter(turn, mayExceed: mayExceed) {
        case .entered: perform(turn, onPool: onPool)
        case .queued: break
        case .full:
            refused.add(1, ordering: .relaxed)
            turn.refuse(
                Failure(.overloaded, "\(configuration.waitingMax) calls wait for this shard already; try again later"))
        }
    }

    /// Performs a turn and those that wait behind it, until the gate is left or handed to the pool.
    func perform(_ first: ObjectTurn, onPool: Bool) {
        var turn = first
        var turnsLeft = onPool ? 256 : configuration.inlineTurnsMax
        while true {
            if case .inspect = turn, !onPool {
                let inspection = turn
                compute.submit { self.perform(inspection, onPool: true) }
                return
            }
            guard let done = run(turn, onPool: onPool) else {
                compute.submit { self.resume() }
                return
            }
            done()
            turnsLeft -= 1
            guard let next = makeRoomOrGetNext(onPool: onPool) else { return }
            guard turnsLeft > 0 else {
                compute.submit { self.perform(next, onPool: true) }
                return
            }
            turn = next
        }
    }

    /// What remains to be done for a turn: its completion. Nil when its method is paused.
    private func run(_ turn: ObjectTurn, onPool: Bool) -> (() -> Void)? {
        switch turn {
        case .removeAll(let completion):
            machine.removeAll()
            publish()
            return completion
        case .install(let types, let completion):
            let failures = machine.install(types)
            return { completion(failures) }
        case .inspect(let body):
            body(.success(machine))
            publish()
            return {}
        case .call(let call):
            let slice = onPool ? 0 : configuration.inlineNanoseconds
            guard case .finished(let result) = machine.start(call, sliceNanoseconds: slice) else {
                paused = call.completion
                return nil
            }
            publish()
            return { call.completion(result) }
        }
    }

    /// Where the paused method's answer goes.
    var paused: (@Sendable (Result<Value, Failure>) -> Void)?

    /// On the pool, with the gate that the event loop kept: ends the paused method and performs what waits.
    func resume() {
        guard case .finished(let result) = machine.resume(), let completion = paused else {
            preconditionFailure("a method without a slice does not pause")
        }
        paused = nil
        publish()
        completion(result)
        if let next = makeRoomOrGetNext(onPool: true) { perform(next, onPool: true) }
    }

    /// The next turn; nil when the gate was left, or went to the pool for a large object.
    func makeRoomOrGetNext(onPool: Bool) -> ObjectTurn? {
        guard machine.needsRoom else { return gate.next() }
        let isDone = machine.makeRoom(onPool: onPool)
        publish()
        if isDone { return gate.next() }
        compute.submit {
            _ = self.machine.makeRoom(onPool: true)
            self.publish()
            if let next = self.gate.next() { self.perform(next, onPool: true) }
        }
        return nil
    }

    func publish() {
        machine.shareMemory()
        published.publish(machine.statistics)
    }
}
