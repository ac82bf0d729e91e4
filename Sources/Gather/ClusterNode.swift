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
            cluster: cluster, services: [FrameService(), JobService(), NodeService(), ObjectService()],
            answersVirtualKeys: answersVirtualKeys)
    }

    /// Keeps the registry the same on all nodes: once a second, and so whenever a node comes back. Returns when cancelled.
    package func synchronizeForever() async {
        guard !cluster.otherNodes.isEmpty else { return }
        while !Task.isCancelled {
            await cluster.publish()
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
            Task {
                switch await JobMap(cluster: cluster).run(map) {
                case .success(let answer): reply(.mapped(answer))
                case .failure(let failure): reply(.failure(failure))
                }
            }
        case .stage(let block):
            cluster.engine.compute.submit { reply(PeerReply(self.loads.stage(block, from: connection))) }
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
            case .flush:
                guard case .int(let delay)? = argument["delay"] else { throw Self.malformed }
                router.flushLocally(delaySeconds: UInt32(clamping: delay), now: unixSeconds())
                return .success(.null)
            case .store: return await store(argument)
            case .dropFrame: return .success(try await FrameService.drop(argument, cluster))
            case .runJob:
                guard let request = JobRequest(value: argument) else { throw Self.malformed }
                return .success(await jobs.run(request, router: router).value)
            }
        } catch {
            return .failure(error)
        }
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
