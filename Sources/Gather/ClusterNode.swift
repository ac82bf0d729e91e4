// One node of the cluster, put together: what it answers to its peers, and what it keeps doing in the background.

import Engine
import Logging
import NIOCore

package final class ClusterNode: PeerService {
    package let cluster: Cluster
    package let router: Router
    private let loads: LoadTable
    private let jobs: JobRunner

    package init(cluster: Cluster, answersVirtualKeys: Bool = true) {
        self.cluster = cluster
        loads = LoadTable(cluster: cluster)
        jobs = JobRunner(cluster: cluster)
        router = Router(
            cluster: cluster, services: [FrameService(), JobService(), NodeService(), ObjectService(), IndexService()],
            answersVirtualKeys: answersVirtualKeys)
    }

    /// Once a second: keeps the registry the same on all nodes, and so whenever a node comes back, and drops what frames are not
    /// to keep, and compresses what nobody reads. Returns when cancelled.
    package func synchronizeForever() async {
        while !Task.isCancelled {
            cluster.retire(now: unixMilliseconds())
            let frames = cluster.engine.frames
            cluster.engine.compute.submit { frames.compressCold() }
            if !cluster.otherNodes.isEmpty { await cluster.publish() }
            do { try await Task.sleep(for: .seconds(1)) } catch { return }
        }
    }

    /// The handler that serves a connection after its hello line. A caller of another version or with another peer list
    /// is answered with the reason to every request.
    package func peerHandler(hello line: String) -> PeerServerHandler {
        PeerServerHandler(service: self, refusal: refusal(of: line))
    }

    private func refusal(of line: String) -> Failure? {
        guard let hello = PeerHello(line: line), hello.version == PeerHello.version else {
            return Failure(.scriptVersion, "\(cluster.selfName) speaks peer version \(PeerHello.version)")
        }
        guard let epoch = hello.epoch, epoch != cluster.topology.epoch else { return nil }
        return Failure(
            .wrongEpoch,
            "\(hello.name) and \(cluster.selfName) have different peer lists: start both with the same --peers")
    }

    // MARK: What peers ask

    package func handle(
        _ request: PeerRequest, from connection: PeerConnection, reply: @escaping @Sendable (PeerReply) -> Void
    ) {
        switch request {
        case .item(let command, let key): reply(.item(router.executeForPeer(command, key: key)))
        case .call(let key, let data, let milliseconds):
            let deadline = Deadline.after(milliseconds: Int(milliseconds))
            router.callForPeer(key, data: data, deadline: deadline) { reply(PeerReply($0)) }
        case .fetch(let key, let milliseconds, let byJob):
            let deadline = Deadline.after(milliseconds: Int(milliseconds))
            router.fetch(key, deadline: deadline, byJob: byJob) { reply(PeerReply($0)) }
        case .map(let map):
            JobMap(cluster: cluster).run(map, encodes: true) { result in
                switch result {
                case .success(let found): reply(.mapped(found.answer))
                case .failure(let failure): reply(.failure(failure))
                }
            }
        case .stage(let block):
            cluster.engine.compute.submit { reply(PeerReply(self.loads.stage(block, from: connection))) }
        case .control(.flush, let argument):
            // At once, not in a task: what the connection asks behind it must not come before it.
            guard case .int(let delay)? = argument["delay"] else { return reply(.failure(Self.malformed)) }
            router.flushLocally(delaySeconds: UInt32(clamping: delay), now: unixSeconds()) { reply(.value(.null)) }
        case .control(let verb, let argument):
            Task { reply(PeerReply(await control(verb, argument, connection))) }
        }
    }

    package func closed(_ connection: PeerConnection) { loads.abandon(connection) }

    private func control(
        _ verb: ControlVerb, _ argument: Value, _ connection: PeerConnection
    ) async -> Result<Value, Failure> {
        do throws(Failure) {
            switch verb {
            case .topology: return .success(topology)
            case .synchronize: return .success(cluster.synchronized(with: argument))
            case .createFrame: return .success(try await FrameService.create(argument, cluster))
            case .frameStatistics: return .success(try FrameService.statistics(argument, cluster))
            case .commitLoad: return .success(try await loads.commit(argument))
            case .abortLoad: return .success(try loads.abort(argument))
            case .flush: throw Self.malformed
            case .store: return await store(argument)
            case .dropFrame: return .success(try await FrameService.drop(argument, cluster))
            case .runJob:
                guard let request = JobRequest(value: argument) else { throw Self.malformed }
                return .success(await jobs.run(request, router: router).value)
            case .explainJob:
                guard let request = JobRequest(value: argument) else { throw Self.malformed }
                return .success(try await jobs.explain(request))
            case .listJobs: return .success(cluster.jobs.list)
            case .jobProgress: return .success(jobProgress(try Self.query(argument)))
            case .cancelJob: return .success(.bool(cluster.jobs.cancel(try Self.query(argument))))
            }
        } catch {
            return .failure(error)
        }
    }

    private static func query(_ argument: Value) throws(Failure) -> UInt64 {
        guard case .int(let query)? = argument["query"] else { throw malformed }
        return UInt64(bitPattern: query)
    }

    private func jobProgress(_ query: UInt64) -> Value {
        guard let coverage = cluster.jobs.coverage(of: query) else { return .null }
        let rows = coverage.total.frames.reduce(0) { sum, name in
            sum + (cluster.engine.frames.find(name)?.statistics.rows ?? 0)
        }
        return .object(["rows": .int(Int64(coverage.rowsSoFar)), "expected": .int(Int64(rows))])
    }

    private func store(_ argument: Value) async -> Result<Value, Failure> {
        guard case .bytes(let key)? = argument["key"], case .bytes(let value)? = argument["value"] else {
            return .failure(Self.malformed)
        }
        return await withCheckedContinuation { continuation in
            router.store(key, value: value) { continuation.resume(returning: $0) }
        }
    }

    static let malformed = Failure(.scriptVersion, "the request is in a version that is not understood")

    private var topology: Value {
        .object([
            "self": .string(cluster.selfName),
            "nodes": .array(
                cluster.topology.nodes.map {
                    .object(["name": .string($0.name), "host": .string($0.host), "port": .int(Int64($0.port))])
                }),
        ])
    }
}

extension PeerReply {
    init(_ result: Result<Value, Failure>) {
        switch result {
        case .success(let value): self = .value(value)
        case .failure(let failure): self = .failure(failure)
        }
    }
}
