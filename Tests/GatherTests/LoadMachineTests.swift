// A load's coordinator and participants as state machines, over a network that loses, repeats and reorders what is said, with
// nodes that are restarted at any moment: never visible on one node and discarded on another.

import Coordination
import Testing

@Suite struct LoadMachineTests {
    private static let at = Instant(nanoseconds: 1_000_000_000)
    private static let runs = (1...3).map { NodeRun(name: "n\($0)", incarnation: UInt64($0)) }

    private static func later(_ milliseconds: Int) -> Instant { at.adding(milliseconds: milliseconds) }

    // MARK: The coordinator

    @Test("the decision needs all participants, with exactly the rows that they took, in the run that began")
    func decision() {
        func decided(_ last: LoadCoordinator.Event) -> LoadCoordinator.Phase {
            var machine = LoadCoordinator(participants: Self.runs)
            for index in 0..<3 { _ = machine.receive(.staged(index, rows: 10 + index), now: Self.at) }
            _ = machine.receive(.staged(1, rows: 5), now: Self.at)
            let prepares = machine.receive(.finish, now: Self.at)
            #expect(prepares == [.prepare(0, rows: 10), .prepare(1, rows: 16), .prepare(2, rows: 12)])
            _ = machine.receive(.prepared(0, incarnation: 1, rows: 10, count: 110), now: Self.at)
            _ = machine.receive(.prepared(1, incarnation: 2, rows: 16, count: 16), now: Self.at)
            #expect(machine.phase == .preparing)
            _ = machine.receive(last, now: Self.later(60_000))
            return machine.phase
        }
        #expect(decided(.prepared(2, incarnation: 3, rows: 12, count: 12)) == .committed)
        for bad: LoadCoordinator.Event in [
            .prepared(2, incarnation: 4, rows: 12, count: 12), .prepared(2, incarnation: 3, rows: 11, count: 12),
            .failed(2), .gone(2), .cancel, .timer,
        ] { #expect(decided(bad) == .aborted, "\(bad)") }
        #expect(decided(.staged(2, rows: 1)) == .preparing)
    }

    private static func committed() -> LoadCoordinator {
        var machine = LoadCoordinator(participants: runs)
        _ = machine.receive(.finish, now: at)
        for (index, run) in runs.enumerated() {
            _ = machine.receive(
                .prepared(index, incarnation: run.incarnation, rows: 0, count: index), now: at)
        }
        return machine
    }

    @Test("what is decided is said until all have answered, and only then is it a success")
    func told() {
        var machine = Self.committed()
        #expect(machine.counts.map(\.count) == [0, 1, 2])
        #expect(machine.receive(.cancel, now: Self.at) == [] && machine.phase == .committed)
        #expect(machine.receive(.ended(0), now: Self.at) == [] && machine.receive(.ended(2), now: Self.at) == [])
        #expect(machine.receive(.timer, now: Self.later(999)) == [])
        #expect(machine.receive(.timer, now: Self.later(1_000)) == [.commit(1)])
        #expect(machine.receive(.ended(1), now: Self.later(1_500)) == [.succeeded(rows: 0)] && machine.isOver)
        #expect(machine.receive(.ended(1), now: Self.later(1_600)) == [])
    }

    @Test(
        "a participant that is gone once it is decided is said to be lost; one that does not answer leaves it unclear")
    func lost() {
        var machine = Self.committed()
        for index in [0, 2] { _ = machine.receive(.ended(index), now: Self.at) }
        var other = machine
        #expect(machine.receive(.gone(1), now: Self.at) == [.lost(1)] && machine.isOver)
        #expect(other.receive(.timer, now: Self.later(20_000)) == [.commit(1), .unclear([1])] && !other.isOver)
        #expect(other.receive(.timer, now: Self.later(21_000)) == [.commit(1)])
        #expect(other.receive(.ended(1), now: Self.later(21_100)) == [] && other.isOver)
    }

    // MARK: The participant

    private static func participant(prepared: Bool) -> LoadParticipant {
        var machine = LoadParticipant(coordinator: runs[0], now: at)
        if prepared { _ = machine.receive(.prepared(others: [runs[0], runs[2]]), now: at) }
        return machine
    }

    @Test(
        "nothing is visible before it is prepared, and an open load ends when its coordinator is gone or does not know it"
    )
    func open() {
        for (event, ends): (LoadParticipant.Event, Bool) in [
            (.decided(commit: true, by: Self.runs[0]), false), (.included, false),
            (.learned("n1", incarnation: 1, .prepared, knowing: []), false),
            (.learned("n1", incarnation: 1, .unknown, knowing: []), true),
            (.learned("n1", incarnation: 9, .unknown, knowing: []), true), (.asked(gone: []), true),
            (.decided(commit: false, by: Self.runs[0]), true),
        ] {
            var machine = Self.participant(prepared: false)
            #expect(machine.receive(event, now: Self.at) == (ends ? [.abort] : []), "\(event)")
        }
        var machine = Self.participant(prepared: false)
        #expect(machine.receive(.timer, now: Self.later(1_000)) == [.ask("n1", gone: [])])
        #expect(machine.receive(.notReached("n1"), now: Self.later(4_999)) == [])
        #expect(machine.receive(.notReached("n1"), now: Self.later(5_000)) == [.abort])
    }

    @Test("who has prepared asks, follows who knows, and gives up only when nobody can know")
    func doubt() {
        var machine = Self.participant(prepared: true)
        #expect(machine.receive(.timer, now: Self.later(1_000)) == [.ask("n1", gone: [])])
        // It is merely not to be reached: it may have committed.
        #expect(machine.receive(.notReached("n1"), now: Self.later(5_000)) == [])
        let both: [LoadParticipant.Effect] = [.ask("n3", gone: []), .ask("n1", gone: [])]
        #expect(machine.receive(.timer, now: Self.later(5_001)) == both)
        #expect(machine.receive(.learned("n3", incarnation: 3, .prepared, knowing: []), now: Self.later(5_002)) == [])
        var follower = machine
        #expect(follower.receive(.learned("n3", incarnation: 3, .committed, knowing: []), now: Self.at) == [.commit])
        var unwilling = machine
        #expect(unwilling.receive(.learned("n3", incarnation: 3, .aborted, knowing: []), now: Self.at) == [.abort])
        // Another run of it answers: what n3 said before it knew that counts no more.
        let gone: Set<NodeRun> = [Self.runs[0]]
        let asks = machine.receive(.learned("n1", incarnation: 8, .unknown, knowing: []), now: Self.later(5_003))
        #expect(asks == [.ask("n3", gone: gone)])
        #expect(machine.receive(.learned("n3", incarnation: 3, .prepared, knowing: []), now: Self.later(5_004)) == [])
        #expect(machine.receive(.decided(commit: true, by: Self.runs[0]), now: Self.later(5_005)) == [])
        #expect(machine.receive(.included, now: Self.later(5_005)) == [])
        let late = LoadParticipant.Event.learned("n1", incarnation: 1, .committed, knowing: [])
        #expect(machine.receive(late, now: Self.later(5_005)) == [], "of the run that is over")
        #expect(
            machine.receive(.learned("n3", incarnation: 3, .prepared, knowing: gone), now: Self.later(5_006))
                == [.abort])
    }

    @Test("outcomes are remembered, and what was forgotten is told from what never was by its age")
    func outcomes() {
        var outcomes = LoadOutcomes(limit: 3)
        #expect(outcomes.state(of: 1, begunMilliseconds: 0, now: Self.at) == .unknown)
        for load in 1...20 as ClosedRange<UInt64> {
            outcomes.note(load, committed: load % 2 == 0, now: Self.later(Int(load) * 1_000))
            outcomes.note(load, committed: load % 2 == 1, now: Self.later(Int(load) * 1_000))
        }
        let now = Self.later(20_000)
        #expect(
            (18...20).map { outcomes.state(of: $0, begunMilliseconds: 0, now: now) } == [
                .committed, .aborted, .committed,
            ])
        #expect(outcomes.state(of: 17, begunMilliseconds: 5_000, now: now) == .forgotten)
        #expect(outcomes.state(of: 99, begunMilliseconds: 5_000, now: now) == .forgotten)
        #expect(outcomes.state(of: 99, begunMilliseconds: 1_000, now: now) == .unknown, "17 ended three seconds ago")
    }

    // MARK: Whatever happens

    @Test(
        "a load is never visible on one node and discarded on another, and an acknowledged one is visible on all that live"
    )
    func schedules() {
        var (successes, failures, doubts, restarts) = (0, 0, 0, 0)
        for seed in 1...6_000 as ClosedRange<UInt64> {
            var world = LoadWorld(seed: seed)
            for step in 0..<(40 + Int(seed % 160)) {
                world.step(faults: true)
                if let wrong = world.wrong { return #expect(Bool(false), "seed \(seed), step \(step): \(wrong)") }
            }
            if world.isInDoubt { doubts += 1 }
            restarts += world.restarts
            // All that live can talk now: what is in doubt is settled, and both ways the same.
            for step in 0..<4_000 where world.isInDoubt {
                world.step(faults: false)
                if let wrong = world.wrong { return #expect(Bool(false), "seed \(seed), calm step \(step): \(wrong)") }
            }
            let isSettled = !world.isInDoubt
            #expect(isSettled, "seed \(seed) stays in doubt")
            if world.isAcknowledged { successes += 1 } else { failures += 1 }
        }
        #expect(successes > 500 && failures > 500 && doubts > 500 && restarts > 3_000, "faults and none, of all kinds")
    }
}

/// Some nodes, one load, and what is on its way between them.
private struct LoadWorld {
    private enum Message {
        case prepare(rows: Int)
        case decide(commit: Bool)
        case ask(gone: Set<NodeRun>)
        case include
        case prepared(run: UInt64, rows: Int)
        case refused
        case ended(run: UInt64)
        case state(run: UInt64, LoadState, knowing: Set<NodeRun>)
        case notReached
    }

    /// To whatever runs there when it arrives; an answer only to the run that asked.
    private struct Envelope {
        var from: NodeRun
        var to: Int
        var toRun: UInt64?
        var message: Message
    }

    private struct Node {
        var run: UInt64
        var rows = 0
        var coordinator: LoadCoordinator?
        var participant: LoadParticipant?
        var outcomes = LoadOutcomes()
    }

    private static let load: UInt64 = 7
    private var random: SeededRandom
    private var now = Instant(nanoseconds: 1_000_000_000)
    private var nodes: [Node]
    private let participants: [NodeRun]
    private var mail: [Envelope] = []
    private(set) var wrong: String?
    private(set) var isAcknowledged = false
    private(set) var restarts = 0
    private let restartsMax: Int

    init(seed: UInt64) {
        random = SeededRandom(seed)
        let count = 2 + Int(seed % 4)
        restartsMax = Int(seed / 4 % 4)
        participants = (0..<count).map { NodeRun(name: "n\($0)", incarnation: UInt64(100 * $0 + 1)) }
        nodes = participants.map { Node(run: $0.incarnation) }
        nodes[0].coordinator = LoadCoordinator(participants: participants)
        for index in nodes.indices {
            nodes[index].participant = LoadParticipant(coordinator: participants[0], now: now)
            nodes[index].rows = Int.random(in: 0...9, using: &random)
            coordinate(.staged(index, rows: nodes[index].rows))
        }
        coordinate(.finish)
    }

    private func run(_ index: Int) -> NodeRun { NodeRun(name: "n\(index)", incarnation: nodes[index].run) }
    private static func index(_ name: String) -> Int { Int(name.dropFirst())! }

    var isInDoubt: Bool { nodes.contains { $0.participant != nil } }

    // MARK: Steps

    mutating func step(faults: Bool) {
        now = now.adding(milliseconds: Int.random(in: 1...400, using: &random))
        switch Int.random(in: 0..<20, using: &random) {
        case 0 where faults && restarts < restartsMax: restart(Int.random(in: nodes.indices, using: &random))
        case 1...5: tick(Int.random(in: nodes.indices, using: &random))
        case 6: showJob()
        default: deliver(faults: faults)
        }
        check()
    }

    private mutating func restart(_ index: Int) {
        restarts += 1
        nodes[index] = Node(run: nodes[index].run + 1)
    }

    private mutating func tick(_ index: Int) {
        if index == 0 { coordinate(.timer) }
        participate(index, .timer)
    }

    /// A job has found the load visible on a node, and asks another one to include it, sooner or later.
    private mutating func showJob() {
        let seen = nodes.indices.filter { state($0) == .committed }
        guard let from = seen.randomElement(using: &random) else { return }
        mail.append(
            Envelope(from: run(from), to: Int.random(in: nodes.indices, using: &random), toRun: nil, message: .include))
    }

    private mutating func deliver(faults: Bool) {
        guard !mail.isEmpty else { return }
        let at = Int.random(in: mail.indices, using: &random)
        let envelope = mail[at]
        let luck = faults ? Int.random(in: 0..<10, using: &random) : 9
        // Delivered, and once more later on; or never, which who has asked finds out.
        if luck != 0 { mail.remove(at: at) }
        if luck == 1 {
            if case .ask = envelope.message {
                reply(envelope, from: envelope.to, .notReached)
            } else if case .prepare = envelope.message {
                reply(envelope, from: envelope.to, .refused)
            }
            return
        }
        receive(envelope)
    }

    private mutating func reply(_ envelope: Envelope, from index: Int, _ message: Message) {
        mail.append(
            Envelope(
                from: run(index), to: Self.index(envelope.from.name), toRun: envelope.from.incarnation,
                message: message))
    }

    private mutating func receive(_ envelope: Envelope) {
        let (index, from) = (envelope.to, envelope.from)
        let sender = Self.index(from.name)
        guard envelope.toRun == nil || envelope.toRun == nodes[index].run else { return }
        switch envelope.message {
        case .prepare(let rows):
            // Who has less than was sent says so with its number.
            let others = participants.filter { $0.name != "n\(index)" }
            participate(index, .prepared(others: others))
            guard nodes[index].participant?.phase == .prepared else { return reply(envelope, from: index, .refused) }
            reply(envelope, from: index, .prepared(run: nodes[index].run, rows: min(rows, nodes[index].rows)))
        case .decide(let commit):
            participate(index, .decided(commit: commit, by: from))
            reply(envelope, from: index, .ended(run: nodes[index].run))
        case .ask(let gone): reply(envelope, from: index, answer(index, from, gone))
        case .include: participate(index, .included)
        case .prepared(let run, let rows): coordinate(.prepared(sender, incarnation: run, rows: rows, count: rows))
        case .refused: coordinate(.failed(sender))
        case .ended(let run): coordinate(run == participants[sender].incarnation ? .ended(sender) : .gone(sender))
        case .state(let run, let state, let knowing):
            participate(index, .learned(from.name, incarnation: run, state, knowing: knowing))
        case .notReached: participate(index, .notReached(from.name))
        }
    }

    private mutating func answer(_ index: Int, _ asker: NodeRun, _ gone: Set<NodeRun>) -> Message {
        var state = LoadState.unknown
        if let coordinator = nodes[index].coordinator {
            switch coordinator.phase {
            case .staging, .preparing: state = .prepared
            case .committed: state = .committed
            case .aborted: state = .aborted
            }
            if !participants.contains(asker) { state = .aborted }
        } else {
            participate(index, .asked(gone: gone))
            state = self.state(index)
        }
        return .state(run: nodes[index].run, state, knowing: gone)
    }

    private func state(_ index: Int) -> LoadState {
        nodes[index].participant?.state
            ?? nodes[index].outcomes.state(of: Self.load, begunMilliseconds: 0, now: now)
    }

    // MARK: Machines

    private mutating func coordinate(_ event: LoadCoordinator.Event) {
        for effect in nodes[0].coordinator?.receive(event, now: now) ?? [] {
            switch effect {
            case .prepare(let index, let rows): send(0, index, .prepare(rows: rows))
            case .commit(let index): send(0, index, .decide(commit: true))
            case .abort(let index): send(0, index, .decide(commit: false))
            case .succeeded: isAcknowledged = true
            case .failed, .lost, .unclear: break
            }
        }
        if nodes[0].coordinator?.isOver == true { nodes[0].coordinator = nil }
    }

    private mutating func participate(_ index: Int, _ event: LoadParticipant.Event) {
        guard let effects = nodes[index].participant?.receive(event, now: now) else { return }
        for effect in effects {
            switch effect {
            case .commit, .abort:
                nodes[index].participant = nil
                nodes[index].outcomes.note(Self.load, committed: effect == .commit, now: now)
            case .ask(let name, let gone): send(index, Self.index(name), .ask(gone: gone))
            }
        }
    }

    private mutating func send(_ from: Int, _ to: Int, _ message: Message) {
        mail.append(Envelope(from: run(from), to: to, toRun: nil, message: message))
    }

    // MARK: What never holds

    private mutating func check() {
        let states = nodes.indices.map { state($0) }
        let living = nodes.indices.filter { nodes[$0].run == participants[$0].incarnation }
        if living.contains(where: { states[$0] == .committed }), living.contains(where: { states[$0] == .aborted }) {
            wrong = "visible and discarded: \(states)"
        }
        if isAcknowledged, let index = living.first(where: { states[$0] != .committed }) {
            wrong = "acknowledged, and \(states[index]) on n\(index): \(states)"
        }
    }
}
