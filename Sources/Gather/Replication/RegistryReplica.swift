// This node's registry, the frames that it holds by it, and what each peer has been told: the shell around the pure parts.

import Coordination
package import Engine
import Logging
import Synchronization

/// Thread-safe. Whatever changes the registry leaves this node's frames as it says.
final class RegistryReplica: Sendable {
    private struct State: Sendable {
        var registry: Registry
        /// The frames that this node holds.
        var held: [DefinitionID: Frame] = [:]
        /// Those that it could not make, which is said once.
        var refused: Set<DefinitionID> = []
        /// By name.
        var peers: [String: PeerNews]
        var settling: Settling
        /// The runs of the others as they were when news was last sent.
        var living: [String: UInt64] = [:]
        var digest: (version: UInt64, value: UInt64)?
        var conflictsAt: UInt64 = 0
    }

    private let frames: FrameCatalog
    private let selfName: String
    private let run: UInt64
    private let logger: Logger
    private let state: Mutex<State>
    private let isWaiting = Atomic<Bool>(false)

    init(frames: FrameCatalog, selfName: String, run: UInt64, peers: [String], now: Instant, logger: Logger) {
        self.frames = frames
        self.selfName = selfName
        self.run = run
        self.logger = logger
        state = Mutex(
            State(
                registry: Registry(run: run), peers: Dictionary(uniqueKeysWithValues: peers.map { ($0, PeerNews()) }),
                settling: Settling(peers: peers, now: now)))
    }

    func read<R>(_ body: (Registry) -> R) -> R { state.withLock { body($0.registry) } }

    func change<R>(_ change: (inout Registry) -> R) -> R {
        state.withLock { state in
            defer { apply(&state) }
            return change(&state.registry)
        }
    }

    /// With this node's own counts of rows as they are now.
    func current() -> Registry {
        state.withLock { state in
            countRows(&state)
            return state.registry
        }
    }

    private func countRows(_ state: inout State) {
        for (id, frame) in state.held {
            // A node that never held a row of it has nothing to answer for, however often it was restarted.
            let statistics = frame.statistics
            let rows = statistics.rows + statistics.retiredRows
            guard rows > 0 else { continue }
            state.registry.acknowledge(
                rows, retired: statistics.retiredRows, frame: id, node: selfName, incarnation: run)
        }
    }

    // MARK: Frames

    /// Makes a frame here, for all nodes to know. Its id, unless there is one of this name and schema already; another
    /// schema is a `wrongType`, several frames of the name are a `conflict`.
    func createFrame(_ name: String, _ schema: FrameSchema) throws(Failure) -> DefinitionID? {
        let result = state.withLock { state -> Result<DefinitionID?, Failure> in
            do throws(Failure) {
                switch state.registry.frame(named: name) {
                case .none: break
                case .one(let entry):
                    let known = try FrameSchema(encoded: entry.schema)
                    guard known == schema else { throw FrameCatalog.otherSchema(name, known, schema) }
                    // This node may have had no room for it.
                    state.held[entry.id] = try frames.create(name, id: entry.id.description, schema: known)
                    return .success(nil)
                case .conflict: throw Self.conflict(ofFrame: name, state.registry)
                }
                try FrameCatalog.checkName(name)
                guard let id = state.registry.createFrame(name, schema: schema.value.messagePack) else {
                    return .success(nil)
                }
                do throws(Failure) {
                    state.held[id] = try frames.create(name, id: id.description, schema: schema)
                } catch {
                    // Nobody has heard of it.
                    state.registry.dropFrame(id)
                    throw error
                }
                return .success(id)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Of those that this node holds.
    func frame(_ id: DefinitionID) -> Frame? { state.withLock { $0.held[id] } }

    /// The frame that the registry has under this id; made now, where there was no room for it before. Throws when there still is
    /// none, and when it was dropped meanwhile.
    func hold(_ entry: Registry.FrameEntry) throws(Failure) -> Frame {
        let result = state.withLock { state -> Result<Frame, Failure> in
            do throws(Failure) {
                if let frame = state.held[entry.id] { return .success(frame) }
                guard state.registry.frames[entry.id] != nil else {
                    throw Failure(.miss, "frame '\(entry.name)' was dropped meanwhile")
                }
                return .success(try make(entry.id, entry.name, entry.schema, &state))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Frames that keep their rows for a time only.
    var retained: [(frame: Frame, retention: FrameRetention)] {
        state.withLock { state in
            state.held.compactMap { id, frame in
                guard let retention = state.registry.frames[id]?.definition.retention, retention.seconds > 0 else {
                    return nil
                }
                return (frame, retention)
            }
        }
    }

    /// Frames that were dropped elsewhere are dropped here, frames that others created are created here.
    private func apply(_ state: inout State) {
        for (id, frame) in state.held where state.registry.frames[id] == nil {
            _ = frames.drop(frame.name, id: id.description)
            state.held[id] = nil
            state.refused = []
        }
        if state.held.count < state.registry.frames.count {
            for entry in state.registry.frames.all where state.held[entry.id] == nil { hold(entry, &state) }
        }
        guard state.conflictsAt != state.registry.version else { return }
        countRowsOfConflicts(&state)
        let names = state.registry.conflicts.frames
        frames.setConflicts(
            Dictionary(uniqueKeysWithValues: names.map { ($0, Self.conflict(ofFrame: $0, state.registry)) }))
        state.conflictsAt = state.registry.version
    }

    private func make(
        _ id: DefinitionID, _ name: String, _ schema: [UInt8], _ state: inout State
    ) throws(Failure) -> Frame {
        let frame = try frames.create(name, id: id.description, schema: FrameSchema(encoded: schema))
        state.held[id] = frame
        return frame
    }

    private func hold(_ entry: DefinitionSet<FrameDefinition>.Entry, _ state: inout State) {
        do throws(Failure) {
            _ = try make(entry.id, entry.name, entry.definition.schema, &state)
        } catch {
            guard state.refused.insert(entry.id).inserted else { return }
            logger.warning("frame \(entry.name) can't be made as another node made it: \(error.message)")
        }
    }

    /// What is said of a conflict has this node's own rows in it too.
    private func countRowsOfConflicts(_ state: inout State) {
        guard !state.registry.conflicts.frames.isEmpty else { return }
        countRows(&state)
    }

    // MARK: News

    /// Rows that came in while this node was cut off go with a frame that was dropped meanwhile: not without a word.
    private func sayWhatGoes(_ state: State, by peer: String) {
        for (id, frame) in state.held where state.registry.frames[id] == nil {
            let rows = frame.statistics.rows
            guard rows > 0 else { continue }
            logger.notice("\(peer) says that frame \(frame.name) (\(id)) was dropped: its \(rows) rows here are gone")
        }
    }

    /// For a peer: what it has not been told. `living`: the runs of the others that are there.
    func message(to peer: String, living: [String: UInt64]) -> Value {
        state.withLock { state in
            if living != state.living {
                // What others said of a run that is over was not listened to while it lived.
                for name in Array(state.peers.keys) { state.peers[name]?.forget() }
                state.living = living
            }
            countRows(&state)
            return Self.message(to: peer, &state)
        }
    }

    private static func message(to peer: String, _ state: inout State) -> Value {
        let heading = (state.peers[peer] ?? PeerNews()).heading(of: state.registry, digest: digest(&state))
        let news = state.registry.news(since: heading.since, to: peer)
        return .map(heading.pairs + [Value.Pair(.string("news"), news.isEmpty ? .null : news.value)])
    }

    private static func digest(_ state: inout State) -> UInt64 {
        if let known = state.digest, known.version == state.registry.version { return known.value }
        let value = state.registry.digest
        state.digest = (state.registry.version, value)
        return value
    }

    /// Takes in what a peer says, as far as it is believed. False when it can't be; then nothing of it is taken in.
    func takeIn(_ message: Value, from peer: String, incarnation: UInt64, _ belief: Belief) -> Bool {
        guard let heading = PeerNews.Heading(value: message), heading.run == incarnation, let said = message["news"],
            let news = said == .null ? RegistryNews() : RegistryNews(value: said).flatMap(belief.restricted)
        else { return false }
        return state.withLock { state in
            guard news.seen.canBe(beside: state.registry.seen, run: run) else { return false }
            state.registry.merge(news, from: peer)
            sayWhatGoes(state, by: peer)
            apply(&state)
            let (digest, registry) = (Self.digest(&state), state.registry)
            state.peers[peer]?.received(heading, in: registry, digest: digest)
            if state.peers[peer]?.hasHeardAll == true { state.settling.settled(with: peer) }
            return true
        }
    }

    /// False when somebody is about to tell the peers of all that is new, this too.
    func beginWaiting() -> Bool { !isWaiting.exchange(true, ordering: .acquiringAndReleasing) }

    func endWaiting() { isWaiting.store(false, ordering: .releasing) }

    // MARK: The first moments

    func settled(with peer: String) { state.withLock { $0.settling.settled(with: peer) } }

    /// The peers that this node, having just started, has not heard from.
    func awaited(now: Instant) -> [String] { state.withLock { $0.settling.awaited(now: now) } }
}

extension FrameSchema {
    /// A column is its name and its type, in a map.
    private static let partsMax = 8 * columnsMax

    package init(encoded bytes: [UInt8]) throws(Failure) {
        guard let value = Value(messagePack: bytes, partsMax: Self.partsMax) else {
            throw Failure(.scriptVersion, "columns in a version that is not understood")
        }
        try self.init(value: value)
    }
}
