// A node's part of one load, once it is more than a promise: prepared, decided, or in doubt of what was decided.

/// What one node knows of a load, as it tells others who ask.
package enum LoadState: UInt8, Sendable, CaseIterable {
    /// Rows are staged, nothing is promised.
    case open = 1
    /// Of a participant: ready, whatever will be decided. Of a coordinator: nothing is decided yet.
    case prepared
    case committed
    case aborted
    /// This run of the node never had a part in it, or had none that was prepared.
    case unknown
    /// So many loads have been here since that it may have been one of them.
    case forgotten
}

/// Who has prepared and hears nothing asks the coordinator. If that can't be reached for a while, or another run of it answers,
/// the participants ask each other. Who knows of the decision tells it; who has not prepared aborts, so that it never
/// will: then nobody can have committed. If all that are left have prepared and the coordinator's run is over, the load is
/// aborted: its rows there are gone, it was acknowledged to nobody, and no complete answer has it.
///
/// For that rule to be everybody's, who is asked learns which runs are over, and believes nothing from them any more, be it
/// still on its way; and only answers count that were given knowing of all of these. While a participant can't be reached, and
/// no other run of it is there, the load stays in doubt: it may have been told to commit.
package struct LoadParticipant: Sendable {
    package enum Phase: Sendable, Equatable { case open, prepared, committed, aborted }

    package enum Event: Sendable, Equatable {
        /// Something came from the coordinator.
        case heard
        /// The rows are ready. `others`: all participants but this one.
        case prepared(others: [NodeRun])
        case decided(commit: Bool, by: NodeRun)
        /// A job's coordinator has seen it committed on another node.
        case included
        /// What a node answered that was asked knowing that these runs are over; `incarnation` is that of the run that answered.
        case learned(String, incarnation: UInt64, LoadState, knowing: Set<NodeRun>)
        case notReached(String)
        /// Another participant asks, and says which runs are over.
        case asked(gone: Set<NodeRun>)
        case timer
    }

    package enum Effect: Sendable, Equatable {
        case commit
        case abort
        /// Ask this node, and tell it which runs are over.
        case ask(String, gone: Set<NodeRun>)
    }

    package struct Timing: Sendable {
        /// So long after something was last heard, the coordinator is asked, and so often from then on.
        package var quietMilliseconds = 1_000
        /// So long after that an open load is given up, and other participants are asked about a prepared one.
        package var patienceMilliseconds = 5_000

        package init() {}
    }

    package private(set) var phase = Phase.open
    package let coordinator: NodeRun
    private var others: [NodeRun] = []
    /// Runs that are over: nothing they say counts.
    private var gone: Set<NodeRun> = []
    /// Participants that have prepared, and know of all that are gone.
    private var ready: Set<String> = []
    private var heardAt: Instant
    private var askedAt: Instant
    private let timing: Timing

    package init(coordinator: NodeRun, timing: Timing = Timing(), now: Instant) {
        self.coordinator = coordinator
        self.timing = timing
        (heardAt, askedAt) = (now, now)
    }

    package var state: LoadState {
        switch phase {
        case .open: .open
        case .prepared: .prepared
        case .committed: .committed
        case .aborted: .aborted
        }
    }

    package mutating func receive(_ event: Event, now: Instant) -> [Effect] {
        switch (event, phase) {
        case (.heard, _):
            heardAt = now
            return []
        case (.prepared(let others), .open):
            phase = .prepared
            self.others = others
            (heardAt, askedAt) = (now, now)
            return []
        case (.decided(let commit, let by), .prepared):
            guard !gone.contains(by) else { return [] }
            return commit ? end(.committed) : end(.aborted)
        case (.decided(commit: false, by: _), .open): return end(.aborted)
        case (.included, .prepared):
            // What a node that is gone has shown is not to be followed any more.
            return gone.isEmpty ? end(.committed) : []
        case (.asked, .open): return end(.aborted)
        case (.asked(let gone), .prepared):
            learn(gone: gone)
            return []
        case (.learned(let name, let incarnation, let state, let knowing), .open),
            (.learned(let name, let incarnation, let state, let knowing), .prepared):
            return learned(NodeRun(name: name, incarnation: incarnation), state, knowing, now)
        case (.notReached(let name), .open):
            guard name == coordinator.name, isOutOfPatience(now) else { return [] }
            return end(.aborted)
        case (.timer, .open), (.timer, .prepared): return tick(now)
        default: return []
        }
    }

    private mutating func end(_ phase: Phase) -> [Effect] {
        self.phase = phase
        return [phase == .committed ? .commit : .abort]
    }

    private func isOutOfPatience(_ now: Instant) -> Bool {
        now.milliseconds(since: heardAt) >= timing.patienceMilliseconds
    }

    private mutating func tick(_ now: Instant) -> [Effect] {
        guard now.milliseconds(since: heardAt) >= timing.quietMilliseconds,
            now.milliseconds(since: askedAt) >= timing.quietMilliseconds
        else { return [] }
        askedAt = now
        guard phase == .prepared, gone.contains(coordinator) || isOutOfPatience(now) else {
            return [.ask(coordinator.name, gone: gone)]
        }
        return askOthers()
    }

    /// The coordinator too, as long as its run may be there.
    private func askOthers() -> [Effect] {
        let runs = gone.contains(coordinator) ? others : others.filter { $0 != coordinator } + [coordinator]
        return runs.filter { !gone.contains($0) }.map { .ask($0.name, gone: gone) }
    }

    private mutating func learn(gone more: Set<NodeRun>) {
        guard !more.isSubset(of: gone) else { return }
        gone.formUnion(more)
        ready = []
    }

    private mutating func learned(
        _ run: NodeRun, _ state: LoadState, _ knowing: Set<NodeRun>, _ now: Instant
    ) -> [Effect] {
        guard !gone.contains(run) else { return [] }
        let isCoordinator = run.name == coordinator.name
        if run == coordinator { heardAt = now }
        guard run == coordinator || others.contains(run) else {
            // Another run than the one that has a part in it.
            guard isCoordinator || others.contains(where: { $0.name == run.name }) else { return [] }
            if phase == .open { return isCoordinator ? end(.aborted) : [] }
            learn(gone: Set(([coordinator] + others).filter { $0.name == run.name }))
            return settled() ?? (gone.contains(coordinator) ? askOthers() : [])
        }
        switch state {
        case .committed: return phase == .prepared ? end(.committed) : []
        case .aborted, .unknown: return end(.aborted)
        case .open, .forgotten: return []
        case .prepared:
            guard run != coordinator, knowing == gone else { return [] }
            ready.insert(run.name)
            return settled() ?? []
        }
    }

    /// Aborts once the coordinator's run is over and all that are left have prepared, knowing so.
    private mutating func settled() -> [Effect]? {
        guard phase == .prepared, gone.contains(coordinator) else { return nil }
        let isSettled = others.allSatisfy { gone.contains($0) || ready.contains($0.name) }
        return isSettled ? end(.aborted) : nil
    }
}
