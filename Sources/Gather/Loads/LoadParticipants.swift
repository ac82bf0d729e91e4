// The loads that this node holds rows of: staged, prepared, and made visible or discarded as their coordinators decide.

import Coordination
import Engine
import Synchronization

/// One load on this node.
final class LoadEntry: Sendable {
    let number: UInt64
    let frame: String
    let id: DefinitionID
    let load: FrameLoad
    let begun: Instant
    fileprivate let machine: Mutex<LoadParticipant>

    fileprivate init(
        _ number: UInt64, frame: String, id: DefinitionID, _ load: FrameLoad, coordinator: NodeRun, now: Instant
    ) {
        self.number = number
        self.frame = frame
        self.id = id
        self.load = load
        begun = now
        machine = Mutex(LoadParticipant(coordinator: coordinator, now: now))
    }
}

/// Thread-safe. A load is here from its begin until it is decided; what became of it is remembered.
final class LoadParticipants: Sendable {
    /// A question that a load in doubt has, for whoever can send it.
    struct Question: Sendable {
        let entry: LoadEntry
        let node: String
        let gone: Set<NodeRun>
    }

    private struct State: Sendable {
        var entries: [UInt64: LoadEntry] = [:]
        var outcomes = LoadOutcomes()
    }

    private let frames: FrameCatalog
    private let state = Mutex(State())

    private let environment: any Environment

    init(frames: FrameCatalog, _ environment: any Environment) {
        self.frames = frames
        self.environment = environment
    }

    // MARK: What coordinators ask

    /// Once more is fine, from the same coordinator.
    func begin(_ number: UInt64, into frame: Frame, id: DefinitionID, coordinator: NodeRun) throws(Failure) {
        let now = environment.now
        let result = state.withLock { state -> Result<Void, Failure> in
            if let entry = state.entries[number] {
                guard entry.machine.withLock({ $0.coordinator }) == coordinator else {
                    return .failure(
                        Failure(.scriptError, "load \(Self.name(number)) is another one's: choose another number"))
                }
                return .success(())
            }
            guard state.outcomes.state(of: number, begunMilliseconds: 0, now: now) == .unknown else {
                return .failure(Self.over(number))
            }
            do throws(Failure) {
                let load = try frames.beginLoad(number, into: frame)
                state.entries[number] = LoadEntry(
                    number, frame: frame.name, id: id, load, coordinator: coordinator, now: now)
                return .success(())
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    /// Parses one block. Answers `{rows, skipped, messages, unquoted}`, the last one by column of text the first line that has a
    /// number or a truth value in it; a row that does not fit fails the block, naming line and column.
    func stage(_ request: StageRequest, from coordinator: NodeRun) -> Result<Value, Failure> {
        do throws(Failure) {
            let entry = try find(request.load, of: coordinator)
            receive(.heard, entry)
            let block = try RowBlock(
                parsing: request, schema: entry.load.frame.schema, memory: frames.resources.memory)
            try entry.load.stage(block.batch)
            receive(.heard, entry)
            return .success(
                .object([
                    "rows": .int(Int64(block.batch.rowCount)), "skipped": .int(Int64(block.report.skippedRows)),
                    "messages": .array(block.report.messages.map { .string($0.description) }),
                    "unquoted": .map(
                        block.report.unquotedLines.map { column, line in
                            Value.Pair(.string(entry.load.frame.schema.columns[column].name), .int(Int64(line)))
                        }),
                ]))
        } catch {
            return .failure(error)
        }
    }

    /// Makes the rows ready and promises to do as will be decided. Answers the rows, and all that this node will ever have had of
    /// the frame once they are visible.
    func prepare(
        _ number: UInt64, others: [NodeRun], from coordinator: NodeRun
    ) throws(Failure) -> (rows: Int, count: Int) {
        let entry = try find(number, of: coordinator)
        let rows = try entry.load.prepare()
        receive(.prepared(others: others), entry)
        guard entry.machine.withLock({ $0.phase }) == .prepared else { throw Self.over(number) }
        let statistics = entry.load.frame.statistics
        return (rows, statistics.rows + statistics.retiredRows + rows)
    }

    /// `beforeShown` is called, once, where the load is committed here, before anybody sees its rows if it is this that shows them:
    /// not where a commit is none of a run that is over and not believed any more.
    func decide(_ number: UInt64, commit: Bool, by coordinator: NodeRun, beforeShown: () -> Void) {
        var isCalled = false
        if let entry = entry(number) {
            receive(.decided(commit: commit, by: coordinator), entry) {
                beforeShown()
                isCalled = true
            }
        }
        guard commit, !isCalled else { return }
        let outcome = state.withLock {
            $0.outcomes.state(of: number, begunMilliseconds: 0, now: environment.now)
        }
        if outcome == .committed { beforeShown() }
    }

    // MARK: Doubt

    /// Loads that another node has made visible are visible here when this returns, where they are ready. `beforeShown` as in `decide`.
    func include(_ loads: Set<UInt64>, beforeShown: () -> Void) {
        for number in loads { if let entry = entry(number) { receive(.included, entry, beforeShown: beforeShown) } }
    }

    /// What this node knows of a load that another one asks about, who knows that these runs are over.
    func asked(_ number: UInt64, gone: Set<NodeRun>, begunMilliseconds milliseconds: Int) -> LoadState {
        if let entry = entry(number) {
            receive(.asked(gone: gone), entry)
            return entry.machine.withLock { $0.state }
        }
        return state.withLock { $0.outcomes.state(of: number, begunMilliseconds: milliseconds, now: environment.now) }
    }

    /// To be called a few times a second: what loads want to know that nothing was heard of for a while.
    func tick() -> [Question] {
        state.withLock { Array($0.entries.values) }.flatMap { receive(.timer, $0) }
    }

    /// What came of a question; more may follow from it. `beforeShown` as in `decide`.
    func learned(_ event: LoadParticipant.Event, _ entry: LoadEntry, beforeShown: () -> Void) -> [Question] {
        receive(event, entry, beforeShown: beforeShown)
    }

    /// Loads into a frame, leaving one out.
    func others(into frame: String, besides load: UInt64) -> Int {
        state.withLock { $0.entries.values.count { $0.number != load && $0.frame == frame } }
    }

    // MARK: The machine

    /// Carries out what follows from the event before anybody else is told of it; answers what is to be asked.
    @discardableResult
    private func receive(
        _ event: LoadParticipant.Event, _ entry: LoadEntry, beforeShown: () -> Void = {}
    ) -> [Question] {
        entry.machine.withLock { machine in
            var questions: [Question] = []
            for effect in machine.receive(event, now: environment.now) {
                switch effect {
                case .commit:
                    beforeShown()
                    // It fails only when the frame was dropped, and with it all that there is to show.
                    _ = try? frames.commitLoad(entry.number)
                    end(entry, committed: true)
                case .abort:
                    frames.abortLoad(entry.number)
                    end(entry, committed: false)
                case .ask(let node, let gone): questions.append(Question(entry: entry, node: node, gone: gone))
                }
            }
            return questions
        }
    }

    private func end(_ entry: LoadEntry, committed: Bool) {
        state.withLock { state in
            state.entries[entry.number] = nil
            state.outcomes.note(entry.number, committed: committed, now: environment.now)
        }
    }

    private func entry(_ number: UInt64) -> LoadEntry? { state.withLock { $0.entries[number] } }

    private func find(_ number: UInt64, of coordinator: NodeRun) throws(Failure) -> LoadEntry {
        guard let entry = entry(number), entry.machine.withLock({ $0.coordinator }) == coordinator else {
            throw Self.over(number)
        }
        return entry
    }

    static func over(_ number: UInt64) -> Failure {
        Failure(.cancelled, "load \(name(number)) is over, or was never begun")
    }

    private static func name(_ number: UInt64) -> String { String(number, radix: 16) }
}
