// Loads under way on this node: which connection sends the rows of which, so that none outlives its sender.

import Engine
import Synchronization

/// A load's rows become visible on commit, all that this node holds of them at once. They are gone when the load is
/// aborted or its connection closes first.
final class LoadTable: Sendable {
    private struct Sender {
        let connection: PeerConnection
        let frame: String
    }

    /// A frame that a load made, until the load is committed.
    private struct Made {
        let connection: PeerConnection
        let frame: String
        let id: UInt64
    }

    private let cluster: Cluster
    private let senders = Mutex([String: Sender]())
    private let made = Mutex([String: Made]())

    init(cluster: Cluster) { self.cluster = cluster }

    /// Parses one block. Answers `{rows, skipped, messages}`; a row that does not fit fails the block, naming line and column.
    func stage(_ request: StageRequest, from connection: PeerConnection) -> Result<Value, Failure> {
        do throws(Failure) {
            let load = try find(request, connection)
            let memory = cluster.engine.frames.resources.memory
            let block = try RowBlock(parsing: request, schema: load.frame.schema, memory: memory)
            try load.stage(block.batch)
            return .success(
                .object([
                    "rows": .int(Int64(block.batch.rowCount)), "skipped": .int(Int64(block.report.skippedRows)),
                    "messages": .array(block.report.messages.map { .string($0.description) }),
                ]))
        } catch {
            return .failure(error)
        }
    }

    /// `{load}` → `{rows}`, once every node that can be reached knows of them.
    func commit(_ argument: Value, from connection: PeerConnection) async throws(Failure) -> Value {
        let id = try Self.id(argument)
        var rows = 0
        if take(id, from: connection) {
            do throws(Failure) { rows = try cluster.engine.frames.commitLoad(id) } catch {
                cluster.engine.frames.abortLoad(id)  // nobody could end it any more
                throw error
            }
            await cluster.publish()
        }
        _ = made.withLock { $0.removeValue(forKey: id) }
        return .object(["rows": .int(Int64(rows))])
    }

    /// `{load}`, and `{frame, made}` where the load made the frame: that goes too, unless somebody else uses it.
    func abort(_ argument: Value, from connection: PeerConnection) async throws(Failure) -> Value {
        let id = try Self.id(argument)
        if take(id, from: connection) { cluster.engine.frames.abortLoad(id) }
        _ = made.withLock { $0.removeValue(forKey: id) }
        if let frame = argument["frame"]?.text, case .int(let made)? = argument["made"] {
            await discard(frame, UInt64(bitPattern: made), besides: id)
        }
        return .null
    }

    /// Whether the load was there, and the connection's own: nobody ends another one's.
    private func take(_ id: String, from connection: PeerConnection) -> Bool {
        senders.withLock { senders in
            guard senders[id]?.connection === connection else { return false }
            senders[id] = nil
            return true
        }
    }

    /// `{load, …}` made a frame for the load that this connection is about to send, if `answer` says so.
    func noteMade(_ argument: Value, _ answer: Value, by connection: PeerConnection) async {
        guard let load = try? Self.id(argument), let frame = argument["name"]?.text, case .int(let id)? = answer["made"]
        else { return }
        made.withLock {
            $0[load] = Made(connection: connection, frame: frame, id: UInt64(bitPattern: id))
        }
        if connection.isClosed { await discardMade(by: connection) }
    }

    func abandon(_ connection: PeerConnection) {
        let abandoned = senders.withLock { senders in
            let mine = senders.filter { $0.value.connection === connection }.map(\.key)
            for id in mine { senders.removeValue(forKey: id) }
            return mine
        }
        for id in abandoned { cluster.engine.frames.abortLoad(id) }
        if made.withLock({ $0.values.contains { $0.connection === connection } }) {
            Task { await discardMade(by: connection) }
        }
    }

    private func discardMade(by connection: PeerConnection) async {
        let mine = made.withLock { made in
            let mine = made.filter { $0.value.connection === connection }
            for id in mine.keys { made.removeValue(forKey: id) }
            return mine
        }
        for (load, frame) in mine { await discard(frame.frame, frame.id, besides: load) }
    }

    private func discard(_ frame: String, _ id: UInt64, besides load: String) async {
        guard others(into: frame, besides: load) == 0 else { return }
        await FrameService.discard(frame, id: id, besides: load, cluster)
    }

    /// Loads into a frame that this node holds rows of, leaving one out.
    func others(into frame: String, besides load: String) -> Int {
        senders.withLock { senders in senders.count { $0.key != load && $0.value.frame == frame } }
    }

    private func find(_ request: StageRequest, _ connection: PeerConnection) throws(Failure) -> FrameLoad {
        let id = String(request.load, radix: 16)
        let frame = try cluster.engine.frames.require(request.frame)
        let result = senders.withLock { senders -> Result<FrameLoad, Failure> in
            do throws(Failure) {
                if let sender = senders[id] {
                    guard sender.connection === connection else {
                        throw Failure(.scriptError, "load \(id) is another connection's: choose another number")
                    }
                    return .success(try cluster.engine.frames.load(id))
                }
                // A block that was queued when its sender went away: nobody would ever end this load.
                guard !connection.isClosed else { throw Failure(.cancelled, "the sender of load \(id) is gone") }
                let load = try cluster.engine.frames.beginLoad(id, into: frame)
                senders[id] = Sender(connection: connection, frame: request.frame)
                return .success(load)
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    private static func id(_ argument: Value) throws(Failure) -> String {
        guard case .int(let id)? = argument["load"] else { throw ClusterNode.malformed }
        return String(UInt64(bitPattern: id), radix: 16)
    }
}
