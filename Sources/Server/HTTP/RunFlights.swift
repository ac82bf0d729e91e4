// Runs of jobs that are asked for again and again: one scan for those that ask at once, none where nothing has changed.

import Coordination
import Engine
import Gather
import HTTPTypes
import Synchronization

/// The same run is one of the same script, parameters, requirement, time and nodes. When the last one who waits has gone the run is
/// cancelled. Errors and answers are shared by those who wait, and by nobody later; who came late and would be told that the time
/// of an earlier one is over asks again in what is left of its own.
final class RunFlights: Sendable {
    struct Key: Hashable, Sendable {
        let source: [UInt8]
        let name: String
        let parameters: [String: Value]
        let requirement: String
        var milliseconds: Int
        let epoch: UInt64
    }

    private final class Flight: Sendable {
        let query: UInt64
        private struct State {
            /// Nil for those who have joined and do not wait yet.
            var waiters: [Int: CheckedContinuation<Envelope?, Never>?] = [:]
            var last = 0
            var envelope: Envelope?
        }
        private let state = Mutex(State())

        init(query: UInt64) { self.query = query }

        /// A number for one who is going to wait.
        func join() -> Int {
            state.withLock { state in
                state.last += 1
                state.waiters[state.last] = .some(nil)
                return state.last
            }
        }

        /// Resumed with the envelope, or with nil once who waits has left.
        func wait(_ number: Int, _ continuation: CheckedContinuation<Envelope?, Never>) {
            let (isOver, envelope) = state.withLock { state -> (Bool, Envelope?) in
                guard state.envelope == nil, state.waiters[number] != nil else { return (true, state.envelope) }
                state.waiters[number] = continuation
                return (false, nil)
            }
            if isOver { continuation.resume(returning: envelope) }
        }

        func land(_ envelope: Envelope) {
            let waiters = state.withLock { state in
                state.envelope = envelope
                defer { state.waiters = [:] }
                return state.waiters.values.compactMap { $0 }
            }
            for waiter in waiters { waiter.resume(returning: envelope) }
        }

        /// True where nobody waits any more, and it has not landed.
        func leave(_ number: Int) -> Bool {
            let (waiter, isLast) = state.withLock { state in
                let waiter = state.waiters.removeValue(forKey: number)
                return (waiter ?? nil, waiter != nil && state.waiters.isEmpty && state.envelope == nil)
            }
            waiter?.resume(returning: nil)
            return isLast
        }
    }

    private let node: ClusterNode
    private let flights = Mutex([Key: Flight]())
    let memory = RunMemory()

    init(_ node: ClusterNode) { self.node = node }

    private var cluster: Cluster { node.cluster }

    /// The answer to one who asks: 304 where it has what it would get.
    func answer(
        _ request: JobRequest, _ format: JobFormat, textIntegers: Bool, _ call: HTTPCall
    ) async throws(HTTPFailure) -> HTTPAnswer {
        let key = Key(
            source: request.source, name: request.name, parameters: request.parameters,
            requirement: request.requirement.description, milliseconds: request.timeoutMilliseconds,
            epoch: cluster.topology.epoch)
        let form = "\(format.rawValue)\(textIntegers ? "i" : "")"
        if let known = call.fields[.ifNoneMatch], let tag = memory.tag(of: key, form, cluster),
            HTTPTags.matches(known, tag)
        {
            var answer = HTTPAnswer(.notModified)
            answer.fields[.eTag] = tag
            return answer
        }
        let before = cluster.currentRegistry()
        guard let envelope = await fly(request, key, call.client) else {
            throw HTTPFailure(
                .conflict, Reason.cancelled.rawValue, "job \(request.name) was cancelled: its client went away")
        }
        // A large answer takes long to write.
        var answer = await withTaskExecutorPreference(cluster.engine.compute) {
            envelope.answer(format, textIntegers: textIntegers)
        }
        if let tag = memory.note(key, form, envelope, before) { answer.fields[.eTag] = tag }
        return answer
    }

    /// Nil where who asks went away.
    private func fly(_ request: JobRequest, _ key: Key, _ client: ClientWatch?) async -> Envelope? {
        var (request, key) = (request, key)
        let deadline = cluster.environment.deadline(afterMilliseconds: request.timeoutMilliseconds)
        while true {
            let (asked, known) = (request, key)
            let (flight, number, isNew) = flights.withLock { flights in
                if let flight = flights[known] { return (flight, flight.join(), false) }
                let flight = Flight(query: cluster.newQuery())
                flights[known] = flight
                return (flight, flight.join(), true)
            }
            if isNew { launch(flight, asked, known) }
            let call = client?.whenGone { [self] in
                guard flight.leave(number) else { return }
                // Nobody is to join what is cancelled.
                end(flight, known)
                _ = cluster.jobs.cancel(flight.query)
            }
            let envelope = await withCheckedContinuation { flight.wait(number, $0) }
            if let call { client?.forget(call) }
            guard !isNew, let reason = envelope?.error?.reason, Self.dependsOnTime(reason) else { return envelope }
            // It was the time of who began that was over: what is left of one's own is another run.
            let left = cluster.environment.remainingMilliseconds(until: deadline)
            guard left > 0 else { return envelope }
            (request.timeoutMilliseconds, key.milliseconds) = (left, left)
        }
    }

    /// A script that has no more time has spent its budget.
    private static func dependsOnTime(_ reason: Reason) -> Bool {
        switch reason {
        case .timeout, .cancelled, .budgetExceeded: true
        case .miss, .evicted, .unreachable, .wrongEpoch, .wrongType, .scriptError, .scriptVersion, .overloaded,
            .incompleteData, .conflict, .notAllowed:
            false
        }
    }

    private func end(_ flight: Flight, _ key: Key) {
        flights.withLock { if $0[key] === flight { $0[key] = nil } }
    }

    private func launch(_ flight: Flight, _ request: JobRequest, _ key: Key) {
        var request = request
        request.query = flight.query
        let (asked, node) = (request, node)
        Task(executorPreference: cluster.engine.compute) {
            let envelope = await node.jobs.run(asked, router: node.router)
            self.end(flight, key)
            flight.land(envelope)
        }
    }
}
