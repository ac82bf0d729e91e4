// One load as its coordinator sees it: blocks to the participants, all of them ready, then the decision, told to all.

/// One run of a node's process.
package struct NodeRun: Sendable, Hashable {
    package var name: String
    package var incarnation: UInt64

    package init(name: String, incarnation: UInt64) {
        self.name = name
        self.incarnation = incarnation
    }
}

/// Two rounds. The decision to commit is made once every participant has prepared exactly the rows that it acknowledged to the
/// coordinator, each in the same run of its process as when the load began; whatever happens before that aborts the load. Who
/// has been told is asked no more; the others are told until they answer, or until another run of them does.
///
/// Driven by messages and a timer; whoever drives it carries the effects out in any order. Participants are numbers.
package struct LoadCoordinator: Sendable {
    package enum Phase: Sendable, Equatable { case staging, preparing, committed, aborted }

    package enum Event: Sendable, Equatable {
        /// The participant took a block with so many rows.
        case staged(Int, rows: Int)
        /// A block was lost or refused.
        case failed(Int)
        /// The sender has sent everything, and all of it was answered.
        case finish
        /// The participant has prepared so many rows; `count` are all that it ever had of the frame once they are visible.
        case prepared(Int, incarnation: UInt64, rows: Int, count: Int)
        /// The participant knows of the decision.
        case ended(Int)
        /// Another run of the participant has answered: its rows are gone.
        case gone(Int)
        /// The sender has changed its mind, or is gone.
        case cancel
        case timer
    }

    package enum Effect: Sendable, Equatable {
        case prepare(Int, rows: Int)
        case commit(Int)
        case abort(Int)
        /// All participants show the rows.
        case succeeded(rows: Int)
        /// Nothing is visible anywhere.
        case failed
        /// It is decided, and a participant is gone with its rows.
        case lost(Int)
        /// It is decided, but these have not answered yet.
        case unclear([Int])
    }

    package struct Timing: Sendable {
        package var prepareMilliseconds = 60_000
        package var repeatMilliseconds = 1_000
        /// After which the sender is told that somebody has not answered.
        package var patienceMilliseconds = 20_000

        package init() {}
    }

    package struct Participant: Sendable {
        package let run: NodeRun
        package fileprivate(set) var rows = 0
        /// All rows that it will ever have had of the frame, as it said when it prepared.
        package fileprivate(set) var count: Int?
        package fileprivate(set) var isEnded = false
        package fileprivate(set) var isGone = false
    }

    package private(set) var phase = Phase.staging
    package private(set) var participants: [Participant]
    private let timing: Timing
    /// Since when the present phase lasts.
    private var since = Instant(nanoseconds: 0)
    private var toldAt = Instant(nanoseconds: 0)
    /// The sender knows what became of it.
    private var isReported = false

    package init(participants: [NodeRun], timing: Timing = Timing()) {
        self.participants = participants.map { Participant(run: $0) }
        self.timing = timing
    }

    /// Nothing more will happen: all know of the decision, and so does the sender.
    package var isOver: Bool { isReported && participants.allSatisfy(\.isEnded) }

    /// What the participants will ever have had of the frame: those that were lost too.
    package var counts: [(run: NodeRun, count: Int)] {
        participants.compactMap { participant in participant.count.map { (participant.run, $0) } }
    }

    package mutating func receive(_ event: Event, now: Instant) -> [Effect] {
        switch (event, phase) {
        case (.staged(let index, let rows), .staging):
            participants[index].rows += rows
            return []
        case (.failed, .staging), (.failed, .preparing), (.cancel, .staging), (.cancel, .preparing):
            return decide(.aborted, now)
        case (.gone(let index), .staging), (.gone(let index), .preparing):
            participants[index].isGone = true
            participants[index].isEnded = true
            return decide(.aborted, now)
        case (.finish, .staging):
            phase = .preparing
            since = now
            return participants.indices.map { .prepare($0, rows: participants[$0].rows) }
        case (.prepared(let index, let incarnation, let rows, let count), .preparing):
            guard incarnation == participants[index].run.incarnation, rows == participants[index].rows else {
                return decide(.aborted, now)
            }
            participants[index].count = count
            return participants.allSatisfy { $0.count != nil } ? decide(.committed, now) : []
        case (.ended(let index), .committed), (.ended(let index), .aborted):
            participants[index].isEnded = true
            return report()
        case (.gone(let index), .committed), (.gone(let index), .aborted):
            guard !participants[index].isEnded else { return [] }
            participants[index].isGone = true
            participants[index].isEnded = true
            return report()
        case (.timer, .preparing):
            return now.milliseconds(since: since) >= timing.prepareMilliseconds ? decide(.aborted, now) : []
        case (.timer, .committed), (.timer, .aborted): return remind(now)
        default: return []
        }
    }

    private mutating func decide(_ decision: Phase, _ now: Instant) -> [Effect] {
        phase = decision
        (since, toldAt) = (now, now)
        guard decision == .aborted else { return participants.indices.map { .commit($0) } }
        isReported = true
        return participants.indices.filter { !participants[$0].isEnded }.map { .abort($0) } + [.failed]
    }

    private mutating func report() -> [Effect] {
        guard phase == .committed, !isReported else { return [] }
        if let lost = participants.firstIndex(where: \.isGone) {
            isReported = true
            return [.lost(lost)]
        }
        guard participants.allSatisfy(\.isEnded) else { return [] }
        isReported = true
        return [.succeeded(rows: participants.reduce(0) { $0 + $1.rows })]
    }

    private mutating func remind(_ now: Instant) -> [Effect] {
        if phase == .aborted, now.milliseconds(since: since) >= timing.patienceMilliseconds {
            // Who asks from now on is told by whoever had a part in it, or that nobody knows of it.
            for index in participants.indices { participants[index].isEnded = true }
        }
        let waiting = participants.indices.filter { !participants[$0].isEnded }
        guard !waiting.isEmpty, now.milliseconds(since: toldAt) >= timing.repeatMilliseconds else { return [] }
        toldAt = now
        var effects: [Effect] = waiting.map { phase == .committed ? .commit($0) : .abort($0) }
        if !isReported, now.milliseconds(since: since) >= timing.patienceMilliseconds {
            isReported = true
            effects.append(.unclear(waiting))
        }
        return effects
    }
}
