// Loads under way on this node: which connection sends the rows of which, so that none outlives its sender.

import Engine
import Synchronization

/// A load's rows become visible on commit, all that this node holds of them at once. They are gone when the load is
/// aborted or its connection closes first.
final class LoadTable: Sendable {
    private let cluster: Cluster
    private let senders = Mutex([String: PeerConnection]())

    init(cluster: Cluster) { self.cluster = cluster }

    /// Parses one block. Answers `{rows, skipped, messages}`; a row that does not fit fails the block, naming line and column.
    func stage(_ request: StageRequest, from connection: PeerConnection) -> Result<Value, Failure> {
        do throws(Failure) {
            let load = try find(request, connection)
            let block = try RowBlock(parsing: request, schema: load.frame.schema)
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
        guard take(id, from: connection) else { return .object(["rows": .int(0)]) }
        let rows: Int
        do throws(Failure) { rows = try cluster.engine.frames.commitLoad(id) } catch {
            cluster.engine.frames.abortLoad(id)  // nobody could end it any more
            throw error
        }
        await cluster.publish()
        return .object(["rows": .int(Int64(rows))])
    }

    func abort(_ argument: Value, from connection: PeerConnection) throws(Failure) -> Value {
        let id = try Self.id(argument)
        if take(id, from: connection) { cluster.engine.frames.abortLoad(id) }
        return .null
    }

    /// Whether the load was there, and the connection's own: nobody ends another one's.
    private func take(_ id: String, from connection: PeerConnection) -> Bool {
        senders.withLock { senders in
            guard senders[id] === connection else { return false }
            senders[id] = nil
            return true
        }
    }

    func abandon(_ connection: PeerConnection) {
        let abandoned = senders.withLock { senders in
            let mine = senders.filter { $0.value === connection }.map(\.key)
            for id in mine { senders.removeValue(forKey: id) }
            return mine
        }
        for id in abandoned { cluster.engine.frames.abortLoad(id) }
    }

    private func find(_ request: StageRequest, _ connection: PeerConnection) throws(Failure) -> FrameLoad {
        let id = String(request.load, radix: 16)
        let frame = try cluster.engine.frames.require(request.frame)
        let result = senders.withLock { senders -> Result<FrameLoad, Failure> in
            do throws(Failure) {
                if let sender = senders[id] {
                    guard sender === connection else {
                        throw Failure(.scriptError, "load \(id) is another connection's: choose another number")
                    }
                    return .success(try cluster.engine.frames.load(id))
                }
                // A block that was queued when its sender went away: nobody would ever end this load.
                guard !connection.isClosed else { throw Failure(.cancelled, "the sender of load \(id) is gone") }
                let load = try cluster.engine.frames.beginLoad(id, into: frame)
                senders[id] = connection
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
