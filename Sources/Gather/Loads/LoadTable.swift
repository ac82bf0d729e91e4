// The loads that this node coordinates for clients: which connection sends the rows of which, so that none outlives its sender.

import Coordination
import Engine
import Synchronization

/// A load's rows become visible on commit, on all nodes or on none. They are gone when the load is aborted or its connection
/// closes first.
final class LoadTable: Sendable {
    private struct Sender {
        let connection: PeerConnection
        /// Nil while the participants are asked.
        var coordination: LoadCoordination?
    }

    /// A frame that a load made, until the load is committed.
    private struct Made {
        let connection: PeerConnection
        let frame: String
        let id: DefinitionID
    }

    private let cluster: Cluster
    private let senders = Mutex([UInt64: Sender]())
    /// Decided, and not known to all participants yet.
    private let ending = Mutex([UInt64: LoadCoordination]())
    private let made = Mutex([UInt64: Made]())

    private static let beginMilliseconds = 1_000

    init(cluster: Cluster) { self.cluster = cluster }

    // MARK: Begin

    /// `{load, frame}` from a client → `{nodes, leftOut: [{name, message}, …]}`: the nodes that will take rows, and those that can't
    /// be reached.
    func begin(_ argument: Value, from connection: PeerConnection) async throws(Failure) -> Value {
        let number = try LoadMessage.number(argument)
        guard let frame = argument["frame"]?.text else { throw ClusterNode.malformed }
        // Known from here on to whoever asks about it.
        let isNew = senders.withLock { senders in
            guard senders[number] == nil, !connection.isClosed else { return false }
            senders[number] = Sender(connection: connection)
            return true
        }
        guard isNew else { throw LoadParticipants.over(number) }
        let id: DefinitionID
        do throws(Failure) { id = try FrameService.require(frame, cluster).id } catch {
            take(number, from: connection)
            throw error
        }
        let (joined, leftOut, failure) = await join(number, frame, id)
        let coordination = LoadCoordination(number, frame: frame, id: id, participants: joined, cluster)
        let isWanted = senders.withLock { senders in
            guard failure == nil, !connection.isClosed, senders[number] != nil else {
                senders[number] = nil
                return false
            }
            senders[number]?.coordination = coordination
            return true
        }
        guard isWanted else {
            end(coordination)
            throw failure ?? LoadParticipants.over(number)
        }
        return .object([
            "nodes": .int(Int64(joined.count)),
            "leftOut": .array(
                leftOut.map { node, failure in
                    .object([
                        "name": .string(cluster.topology.nodes[node].name), "message": .string(failure.message),
                    ])
                }),
        ])
    }

    private typealias Joined = (
        joined: [(node: Int, run: NodeRun)], leftOut: [(Int, Failure)], failure: Failure?
    )

    /// Any node takes rows; those that can't be reached are left out.
    private func join(_ number: UInt64, _ frame: String, _ id: DefinitionID) async -> Joined {
        let argument = Value.object([
            "load": LoadMessage.value(number), "frame": .string(frame), "id": id.value,
        ])
        let cluster = cluster
        let others = cluster.otherNodes
        // The rows go through this node in any case: it is waited for, however long it takes.
        async let own = Self.joinHere(argument, cluster)
        let deadline = cluster.environment.deadline(afterMilliseconds: Self.beginMilliseconds)
        let gathered = await Gatherer<Value>(targets: others.count, deadline: deadline, in: cluster) { at, _, deliver in
            let request = PeerRequest.control(verb: .beginLoad, argument: argument)
            cluster.send(request, to: others[at], deadline: deadline) { deliver(Router.value(of: $0)) }
        }
        .outcome()
        var results = gathered.results.map { (others[$0.node], $0.result) }
        if let selfIndex = cluster.topology.selfIndex { results.append((selfIndex, await own)) }
        var found: Joined = ([], [], nil)
        for (node, result) in results.sorted(by: { $0.0 < $1.0 }) {
            switch result {
            case .success(let answer):
                guard case .int(let incarnation)? = answer["incarnation"] else {
                    found.failure = PeerReply.notUnderstood
                    continue
                }
                let name = cluster.topology.nodes[node].name
                found.joined.append((node, NodeRun(name: name, incarnation: UInt64(bitPattern: incarnation))))
            case .failure(let failure):
                switch failure.reason {
                case .unreachable, .timeout, .wrongEpoch, .scriptVersion: found.leftOut.append((node, failure))
                default: found.failure = found.failure ?? failure
                }
            }
        }
        // A load without a node to take its rows would lose them.
        if found.joined.isEmpty, found.failure == nil {
            found.failure = found.leftOut.first?.1 ?? Failure(.unreachable, "no node takes rows")
        }
        return found
    }

    private static func joinHere(_ argument: Value, _ cluster: Cluster) async -> Result<Value, Failure> {
        do throws(Failure) { return .success(try await cluster.beginLoad(argument, from: cluster.run)) } catch {
            return .failure(error)
        }
    }

    // MARK: Rows and the end

    func stage(
        _ block: StageRequest, from connection: PeerConnection, due: Deadline,
        completion: @escaping @Sendable (Result<Value, Failure>) -> Void
    ) {
        guard let coordination = coordination(block.load, connection) else {
            return completion(.failure(LoadParticipants.over(block.load)))
        }
        coordination.stage(block, due, completion: completion)
    }

    /// `{load}` → `{rows}`, once all participants show them.
    func commit(_ argument: Value, from connection: PeerConnection) async throws(Failure) -> Value {
        let number = try LoadMessage.number(argument)
        guard let coordination = coordination(number, connection) else { throw LoadParticipants.over(number) }
        defer {
            end(coordination)
            take(number, from: connection)
        }
        let rows = try await coordination.commit()
        _ = made.withLock { $0.removeValue(forKey: number) }
        return .object(["rows": .int(Int64(rows))])
    }

    /// `{load}`, and `{frame, made}` where the load made the frame: that goes too, unless somebody else uses it.
    func abort(_ argument: Value, from connection: PeerConnection) async throws(Failure) -> Value {
        let number = try LoadMessage.number(argument)
        if let coordination = coordination(number, connection) {
            end(coordination)
            take(number, from: connection)
            await allKnow(coordination)
        }
        _ = made.withLock { $0.removeValue(forKey: number) }
        if let frame = argument["frame"]?.text, let made = DefinitionID(value: argument["made"]) {
            await discard(frame, made, besides: number)
        }
        return .null
    }

    /// Waits a little until participants know that it is over, so that nothing is left when the command ends.
    private func allKnow(_ coordination: LoadCoordination) async {
        for _ in 0..<100 where !coordination.isOver { await cluster.environment.sleep(milliseconds: 10) }
    }

    /// Cancelled unless it was decided; told to the participants until they all know.
    private func end(_ coordination: LoadCoordination) {
        ending.withLock { $0[coordination.number] = coordination }
        coordination.cancel()
    }

    private func coordination(_ number: UInt64, _ connection: PeerConnection) -> LoadCoordination? {
        senders.withLock { senders in
            guard let sender = senders[number], sender.connection === connection else { return nil }
            return sender.coordination
        }
    }

    /// Nobody ends another connection's load.
    private func take(_ number: UInt64, from connection: PeerConnection) {
        senders.withLock { if $0[number]?.connection === connection { $0[number] = nil } }
    }

    // MARK: Doubt

    /// Of a load that this node coordinates, what a participant is told; nil for any other.
    func word(of number: UInt64, for asker: NodeRun) -> LoadWord? {
        let sender = senders.withLock { $0[number] }
        if let sender, sender.coordination == nil { return LoadWord(state: .prepared) }
        let coordination = sender?.coordination ?? ending.withLock { $0[number] }
        return coordination?.word(for: asker)
    }

    /// A few times a second: tells participants again what they have not answered, and finds out what this node is in doubt of.
    func tick() {
        let underWay = senders.withLock { $0.values.compactMap(\.coordination) }
        let decided = ending.withLock { ending in
            for (number, coordination) in ending where coordination.isOver { ending[number] = nil }
            return Array(ending.values)
        }
        for coordination in underWay + decided { coordination.tick() }
        let run = cluster.run
        for question in cluster.loads.tick() {
            cluster.resolve(question) { [self] number in word(of: number, for: run) }
        }
    }

    // MARK: Connections, and frames made for a load

    /// `{load, …}` made a frame for the load that this connection is about to send, if `answer` says so.
    func noteMade(_ argument: Value, _ answer: Value, by connection: PeerConnection) async {
        guard let load = try? LoadMessage.number(argument), let frame = argument["name"]?.text,
            let id = DefinitionID(value: answer["made"])
        else { return }
        made.withLock { $0[load] = Made(connection: connection, frame: frame, id: id) }
        if connection.isClosed { await discardMade(by: connection) }
    }

    func abandon(_ connection: PeerConnection) {
        let abandoned = senders.withLock { senders in
            senders.filter { $0.value.connection === connection }
        }.mapValues(\.coordination)
        for (number, coordination) in abandoned {
            if let coordination { end(coordination) }
            take(number, from: connection)
        }
        if made.withLock({ $0.values.contains { $0.connection === connection } }) {
            cluster.environment.task {
                for case let coordination? in abandoned.values { await self.allKnow(coordination) }
                await self.discardMade(by: connection)
            }
        }
    }

    private func discardMade(by connection: PeerConnection) async {
        let mine = made.withLock { made in
            let mine = made.filter { $0.value.connection === connection }
            for number in mine.keys { made.removeValue(forKey: number) }
            return mine
        }
        for (number, frame) in mine { await discard(frame.frame, frame.id, besides: number) }
    }

    private func discard(_ frame: String, _ id: DefinitionID, besides number: UInt64) async {
        guard cluster.loads.others(into: frame, besides: number) == 0 else { return }
        await FrameService.discard(frame, id: id, besides: number, cluster)
    }
}
