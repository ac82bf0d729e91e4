// The shell around a load's coordinator: sends what it decides to the participants, and tells the sender what became of it.

import Coordination
import Engine
import Synchronization

/// What who asks about a load is told.
struct LoadWord: Sendable {
    var state: LoadState
    /// Of a load that is committed, what its participants will ever have had of the frame; nil where that is not known any more.
    var counts: [ParticipantCount]?
}

/// One load that this node coordinates. Thread-safe.
final class LoadCoordination: Sendable {
    let number: UInt64
    let frame: String
    /// Of the frame when the load began.
    private let frameID: DefinitionID
    private let cluster: Cluster
    /// The participants' places in the topology, in the machine's order.
    private let nodes: [Int]

    private struct State {
        var machine: LoadCoordinator
        /// Why it fails, when it does.
        var failure: Failure?
        /// Blocks so far: each goes to the next participant.
        var blocks = 0
        var blocksUnderWay = 0
        var waiter: CheckedContinuation<Result<Int, Failure>, Never>?
    }
    private let state: Mutex<State>

    private static let roundMilliseconds = 60_000
    private static let tellMilliseconds = 5_000

    init(
        _ number: UInt64, frame: String, id: DefinitionID, participants: [(node: Int, run: NodeRun)], _ cluster: Cluster
    ) {
        self.number = number
        self.frame = frame
        self.cluster = cluster
        frameID = id
        nodes = participants.map(\.node)
        state = Mutex(State(machine: LoadCoordinator(participants: participants.map(\.run))))
    }

    var isOver: Bool { state.withLock { $0.machine.isOver } }

    /// What a participant that asks is told; another one has no part in it.
    func word(for asker: NodeRun) -> LoadWord {
        state.withLock { state in
            guard state.machine.participants.contains(where: { $0.run == asker }) else {
                return LoadWord(state: .aborted)
            }
            switch state.machine.phase {
            case .staging, .preparing: return LoadWord(state: .prepared)
            case .committed: return LoadWord(state: .committed, counts: state.machine.counts)
            case .aborted: return LoadWord(state: .aborted)
            }
        }
    }

    // MARK: Blocks

    /// Passes a block on to the next participant; completes on any thread.
    func stage(_ block: StageRequest, _ due: Deadline, completion: @escaping @Sendable (Result<Value, Failure>) -> Void)
    {
        let place = state.withLock { state -> Result<Int, Failure> in
            // A block that failed is the last one; those under way come to their own ends, as theirs may be the earlier lines.
            if let failure = state.failure { return .failure(failure) }
            guard state.machine.phase == .staging else { return .failure(LoadParticipants.over(number)) }
            state.blocksUnderWay += 1
            state.blocks += 1
            return .success((state.blocks - 1) % nodes.count)
        }
        guard case .success(let index) = place else { return completion(place.map { _ in .null }) }
        var passed = block
        passed.frame = frame
        let node = nodes[index]
        guard node != cluster.topology.selfIndex, let links = cluster.anyLinks else {
            let (participants, run, own) = (cluster.loads, cluster.run, passed)
            cluster.engine.compute.submit {
                let result =
                    self.cluster.environment.hasPassed(due) ? .failure(Self.late) : participants.stage(own, from: run)
                self.answered(index, result, completion)
            }
            return
        }
        let deadline = min(due, cluster.environment.deadline(afterMilliseconds: Self.roundMilliseconds))
        links.send(.stage(passed), to: node, deadline: deadline) { reply in
            self.answered(index, Router.value(of: reply), completion)
        }
    }

    private static let late = Failure(.timeout, "a block of rows waited too long, and was not taken")

    private func answered(
        _ index: Int, _ result: Result<Value, Failure>, _ completion: (Result<Value, Failure>) -> Void
    ) {
        state.withLock { $0.blocksUnderWay -= 1 }
        switch result {
        case .success(let answer):
            guard case .int(let rows)? = answer["rows"], rows >= 0 else {
                fail(PeerReply.notUnderstood)
                return completion(.failure(PeerReply.notUnderstood))
            }
            receive(.staged(index, rows: Int(rows)))
        case .failure(let failure): fail(failure)
        }
        completion(result)
    }

    // MARK: The end

    /// The rows, once all participants show them. Throws when nothing is visible, and when it is not known to be on all nodes:
    /// the message says which.
    func commit() async throws(Failure) -> Int {
        let result: Result<Int, Failure> = await withCheckedContinuation { continuation in
            let refusal = state.withLock { state -> Failure? in
                if let failure = state.failure { return failure }
                if state.machine.phase == .aborted { return LoadParticipants.over(number) }
                guard state.machine.phase == .staging, state.blocksUnderWay == 0, state.waiter == nil else {
                    return Failure(.scriptError, "a load is committed once all its blocks are answered")
                }
                state.waiter = continuation
                return nil
            }
            if let refusal { return continuation.resume(returning: .failure(refusal)) }
            receive(.finish)
        }
        return try result.get()
    }

    func cancel() { receive(.cancel) }

    func tick() { receive(.timer) }

    private func fail(_ failure: Failure) { state.withLock { $0.failure = $0.failure ?? failure } }

    private func receive(_ event: LoadCoordinator.Event) {
        let (effects, counts) = state.withLock { state in
            (state.machine.receive(event, now: cluster.environment.now), state.machine.counts)
        }
        for effect in effects {
            switch effect {
            case .prepare(let index, let rows): prepare(index, rows)
            case .commit(let index): tell(index, commit: true, counts)
            case .abort(let index): tell(index, commit: false, [])
            case .succeeded(let rows): report(.success(rows))
            case .failed: report(.failure(state.withLock { $0.failure } ?? LoadParticipants.over(number)))
            case .lost(let index):
                report(
                    .failure(
                        Failure(
                            .incompleteData,
                            "\(name(index)) was restarted meanwhile and has lost its rows of it: drop \(frame) "
                                + "(cacheismo query frame:drop:\(frame)) and load again",
                            about: .named(name(index)))))
            case .unclear(let indices):
                report(
                    .failure(
                        Failure(
                            .unreachable,
                            "\(indices.map(name).joined(separator: ", ")) has not answered; all rows are in \(frame), "
                                + "and seen once it does",
                            about: indices.map { .named(name($0)) })))
            }
        }
    }

    private func report(_ result: Result<Int, Failure>) {
        let waiter = state.withLock { state in
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: result)
    }

    private func name(_ index: Int) -> String { cluster.topology.nodes[nodes[index]].name }

    // MARK: Messages

    private func prepare(_ index: Int, _ rows: Int) {
        let others = state.withLock { state in
            state.machine.participants.enumerated().filter { $0.offset != index }.map(\.element.run)
        }
        let argument = Value.object(["load": LoadMessage.value(number), "others": LoadMessage.value(others)])
        ask(index, .prepareLoad, argument, Self.roundMilliseconds) { result in
            switch result {
            case .success(let answer):
                guard case .int(let incarnation)? = answer["incarnation"], case .int(let prepared)? = answer["rows"],
                    case .int(let count)? = answer["count"]
                else { return self.prepareFailed(index, PeerReply.notUnderstood) }
                if prepared != rows {
                    let why = "\(self.name(index)) has \(prepared) of the \(rows) rows that it took"
                    self.fail(Failure(.incompleteData, why, about: .named(self.name(index))))
                }
                self.receive(
                    .prepared(
                        index, incarnation: UInt64(bitPattern: incarnation), rows: Int(prepared), count: Int(count)))
            case .failure(let failure): self.prepareFailed(index, failure)
            }
        }
    }

    private func prepareFailed(_ index: Int, _ failure: Failure) {
        fail(failure.naming(name(index)))
        receive(.failed(index))
    }

    private func tell(_ index: Int, commit: Bool, _ counts: [ParticipantCount]) {
        let run = state.withLock { $0.machine.participants[index].run }
        let argument = Value.object([
            "load": LoadMessage.value(number), "commit": .bool(commit), "frame": .string(frame),
            "id": frameID.value, "counts": LoadMessage.value(counts),
        ])
        ask(index, .decideLoad, argument, Self.tellMilliseconds) { result in
            guard case .success(let answer) = result, case .int(let incarnation)? = answer["incarnation"] else {
                return
            }
            let isSame = UInt64(bitPattern: incarnation) == run.incarnation
            self.receive(isSame ? .ended(index) : .gone(index))
        }
    }

    private func ask(
        _ index: Int, _ verb: ControlVerb, _ argument: Value, _ milliseconds: Int,
        _ completion: @escaping @Sendable (Result<Value, Failure>) -> Void
    ) {
        let node = nodes[index]
        guard node != cluster.topology.selfIndex, let links = cluster.anyLinks else {
            let cluster = cluster
            cluster.engine.compute.submitUrgent {
                completion(cluster.answerAboutLoad(verb, argument, from: cluster.run))
            }
            return
        }
        links.send(
            .control(verb: verb, argument: argument), to: node,
            deadline: cluster.environment.deadline(afterMilliseconds: milliseconds)
        ) {
            completion(Router.value(of: $0))
        }
    }
}
