// One node of the cluster, put together: what it answers to its peers, and what it keeps doing in the background.

package import Coordination
package import Engine
import Logging
package import NIOCore
import Synchronization

package final class ClusterNode: PeerService {
    package let cluster: Cluster
    package let router: Router
    package let access: ClientAccess
    /// Jobs and frames, too.
    package var answersVirtualKeys: Bool { access.allowsVirtualKeys }
    private let loads: LoadTable
    package let jobs: JobRunner
    package let definitions = JobDefinitions()
    /// What is told of the nodes.
    package let reports: NodeReports
    /// From when it was told to end on: what is asked is answered, and nobody should ask anything new.
    package var isEnding: Bool { ends.load(ordering: .relaxed) }
    private let ends = Atomic<Bool>(false)
    private let refusals: RefusalLog
    private let budget = PeerByteBudget()

    /// `access`: what commands may do, who are clients as any other.
    package init(
        cluster: Cluster, answersVirtualKeys: Bool = true, access: ClientAccess = ClientAccess(), version: String = ""
    ) {
        self.cluster = cluster
        let reports = NodeReports(cluster, version: version)
        self.reports = reports
        var access = access
        access.allowsVirtualKeys = access.allowsVirtualKeys && answersVirtualKeys
        self.access = access
        refusals = RefusalLog(peers: cluster.identity.others, logger: cluster.logger)
        loads = LoadTable(cluster: cluster)
        jobs = JobRunner(cluster: cluster)
        router = Router(
            cluster: cluster,
            services: [
                FrameService(), JobService(reports), NodeService(reports), ClusterService(reports), ObjectService(),
                IndexService(),
            ],
            answersVirtualKeys: answersVirtualKeys)
    }

    /// Once a second: keeps the registry the same on all nodes, and so whenever a node comes back, and drops what frames are not
    /// to keep, and compresses what nobody reads; and, more often, finds out about loads in doubt. Returns when cancelled.
    package func synchronizeForever() async {
        let environment = cluster.environment
        let ticking = environment.task { [loads] in
            while !Task.isCancelled {
                loads.tick()
                await environment.sleep(milliseconds: 250)
            }
        }
        defer { ticking.cancel() }
        while !Task.isCancelled {
            cluster.retire(now: environment.unixMilliseconds)
            let frames = cluster.engine.frames
            cluster.engine.compute.submit { frames.compressCold() }
            if !cluster.otherNodes.isEmpty { await cluster.publish() }
            await environment.sleep(milliseconds: 1_000)
        }
    }

    /// What serves a connection after its hello line. A caller of another version or with another peer list
    /// is answered with the reason to every request.
    package func peerServer(hello line: String, on channel: any PeerChannel) -> PeerServer {
        PeerServer(
            service: self, identity: cluster.identity, line: line,
            itemBytesMax: cluster.engine.configuration.itemBytesMax, budget: budget, channel: channel)
    }

    /// See `isEnding`.
    package func prepareToEnd() { ends.store(true, ordering: .relaxed) }

    // MARK: Who calls

    package func admit(login: [UInt8], password: [UInt8], from client: ClientAddress) -> ClientAdmission {
        guard let rolesOfUser = access.rolesOfUser else {
            return ClientAdmission(.success(access.openRoles(of: client)))
        }
        guard !login.isEmpty else {
            return ClientAdmission(
                .failure(
                    Refusal(
                        .notAllowed,
                        "\(cluster.selfName) wants to know who you are: give --login NAME, and the password in "
                            + "CACHEISMO_PASSWORD or --password-file FILE",
                        about: cluster.selfName)))
        }
        let roles = rolesOfUser(login, password)
        let delay = access.desk?.attempt(from: client, isRight: roles != nil) ?? 0
        let refusal = Refusal(
            .notAllowed, "\(cluster.selfName) does not know that name and password", about: cluster.selfName)
        return ClientAdmission(roles.map { .success($0) } ?? .failure(refusal), delayMilliseconds: delay)
    }

    package func greeted(_ counterpart: Counterpart) {
        guard case .node(let name, let incarnation) = counterpart else { return }
        cluster.statuses.first { $0.name == name }?.met(incarnation: incarnation)
        refusals.forget(name)
    }

    package func refused(_ refusal: Refusal, line: String, address: String) {
        let name = PeerHello(line: line).flatMap { $0.isClient ? nil : $0.name } ?? ""
        refusals.note(refusal, name: name, address: address)
    }

    // MARK: What peers and commands ask

    package func handle(
        _ request: PeerRequest, from connection: PeerConnection, time: RequestTime = .unlimited,
        reply: @escaping @Sendable (PeerReply) -> Void
    ) {
        if let failure = request.refusal(for: connection.counterpart, access) { return reply(.failure(failure)) }
        if connection.counterpart == .client, let failure = refusal(of: request, connection.roles) {
            return reply(.failure(failure))
        }
        switch request {
        case .item(let command, let key): reply(.item(router.executeForPeer(command, key: key)))
        case .call(let key, let data, _):
            router.callForPeer(key, data: data, deadline: time.due) { reply(PeerReply($0)) }
        case .fetch(let key, let milliseconds, let byJob):
            let deadline = min(time.due, cluster.environment.deadline(afterMilliseconds: Int(milliseconds)))
            router.fetch(key, deadline: deadline, byJob: byJob, roles: connection.roles) { reply(PeerReply($0)) }
        case .map(var map):
            map.deadlineMilliseconds = min(map.deadlineMilliseconds, UInt32(clamping: time.leftMilliseconds))
            let log = JobLog(memory: cluster.engine.jobStates.memory)
            JobMap(cluster: cluster, log: log).run(map, encodes: true) { result in
                switch result {
                case .success(let found):
                    var answer = found.answer
                    answer.log = log.lines
                    reply(.mapped(answer))
                    withExtendedLifetime(found.lease) {}
                case .failure(let failure): reply(.mapFailed(failure, log.lines))
                }
            }
        case .stage(let block):
            guard case .node(let name, let incarnation) = connection.counterpart else {
                return loads.stage(block, from: connection, due: time.due) { reply(PeerReply($0)) }
            }
            cluster.engine.compute.submit {
                guard !self.cluster.environment.hasPassed(time.due) else { return reply(.failure(self.tooLate)) }
                let coordinator = NodeRun(name: name, incarnation: incarnation)
                reply(PeerReply(self.cluster.loads.stage(block, from: coordinator)))
            }
        case .control(let verb, let argument) where verb == .prepareLoad || verb == .decideLoad:
            guard case .node(let name, let incarnation) = connection.counterpart else {
                return reply(.failure(PeerRequest.notForClients))
            }
            cluster.engine.compute.submitUrgent {
                guard !self.cluster.environment.hasPassed(time.due) else { return reply(.failure(self.tooLate)) }
                let coordinator = NodeRun(name: name, incarnation: incarnation)
                reply(PeerReply(self.cluster.answerAboutLoad(verb, argument, from: coordinator)))
            }
        case .control(.flush, let argument):
            // At once, not in a task: what the connection asks behind it must not come before it.
            guard case .int(let delay)? = argument["delay"], delay >= 0 else { return reply(.failure(Self.malformed)) }
            guard access.allowsFlush else {
                let why = "\(cluster.selfName) was started with -F, and flushes nothing"
                return reply(.failure(Failure(.scriptError, why, about: .named(cluster.selfName))))
            }
            router.flushLocally(delaySeconds: UInt32(clamping: delay), now: cluster.environment.unixSeconds) {
                reply(.value(.null))
            }
        case .control(.runJob, let argument):
            // A large result takes long to encode: with turns, on the pool of what takes long.
            Task(executorPreference: cluster.engine.compute) {
                guard !self.cluster.environment.hasPassed(time.due) else { return reply(.failure(self.tooLate)) }
                await self.runJob(argument, connection, time, reply)
            }
        case .control(let verb, let argument):
            cluster.environment.task {
                guard !self.cluster.environment.hasPassed(time.due) else { return reply(.failure(self.tooLate)) }
                reply(PeerReply(await self.control(verb, argument, connection, time)))
            }
        }
    }

    package func carryOut(
        _ batch: inout ForwardedBatch, into answers: inout ByteBuffer, mayGoOn: (_ answerBytes: Int) -> Bool,
        defers: (_ commandBytes: Int) -> Void,
        later: @escaping @Sendable (_ index: Int, _ commandBytes: Int, Result<Value, Failure>) -> Void
    ) -> ForwardedProgress {
        router.carryOut(&batch, into: &answers, mayGoOn: mayGoOn, defers: defers, later: later)
    }

    /// For what waited here, after it had come in time.
    private var tooLate: Failure {
        Failure(
            .timeout, "\(cluster.selfName) did not get to it in time, and did not carry it out",
            about: .named(cluster.selfName))
    }

    package func closed(_ connection: PeerConnection) { loads.abandon(connection) }

    private func control(
        _ verb: ControlVerb, _ argument: Value, _ connection: PeerConnection, _ time: RequestTime
    ) async -> Result<Value, Failure> {
        do throws(Failure) {
            switch verb {
            case .topology: return .success(topology)
            case .status: return .success(reports.status)
            case .synchronize:
                return .success(try cluster.synchronized(with: argument, from: connection.counterpart))
            case .createFrame:
                let answer = try await FrameService.create(argument, cluster)
                await loads.noteMade(argument, answer, by: connection)
                return .success(answer)
            case .frameStatistics: return .success(try statistics(argument))
            case .beginLoad:
                guard case .node(let name, let incarnation) = connection.counterpart else {
                    return .success(try await loads.begin(argument, from: connection))
                }
                let coordinator = NodeRun(name: name, incarnation: incarnation)
                return .success(try await cluster.beginLoad(argument, from: coordinator))
            case .askLoad:
                guard case .node(let name, let incarnation) = connection.counterpart else { throw Self.malformed }
                let asker = NodeRun(name: name, incarnation: incarnation)
                let coordinated = loads.word(of: try LoadMessage.number(argument), for: asker)
                return .success(try cluster.answerDoubt(argument, coordinated: coordinated))
            case .prepareLoad, .decideLoad, .runJob: throw Self.malformed
            case .commitLoad: return .success(try await loads.commit(argument, from: connection))
            case .abortLoad: return .success(try await loads.abort(argument, from: connection))
            case .flush: throw Self.malformed
            case .store: return await store(argument, connection.roles, time.due)
            case .dropFrame: return .success(try await FrameService.drop(argument, cluster))
            case .explainJob:
                guard let request = JobRequest(value: argument) else { throw Self.malformed }
                return .success(try await jobs.explain(request))
            case .listJobs: return .success(cluster.jobs.list)
            case .jobProgress: return .success(cluster.jobProgress(try Self.query(argument)))
            case .report: return .success(try reports.report(argument))
            case .activity: return .success(reports.activity)
            case .describeJob:
                guard let name = argument["name"]?.text else { throw Self.malformed }
                return .success(try await definitions.value(of: name, cluster))
            case .whereabouts:
                guard case .bytes(let key)? = argument["key"] else { throw Self.malformed }
                return .success(try whereabouts(of: key))
            case .cancelJob: return .success(.bool(cluster.jobs.cancel(try Self.query(argument))))
            }
        } catch {
            return .failure(error)
        }
    }

    private func runJob(
        _ argument: Value, _ connection: PeerConnection, _ time: RequestTime, _ reply: (PeerReply) -> Void
    ) async {
        guard var request = JobRequest(value: argument) else { return reply(.failure(Self.malformed)) }
        request.roles = connection.roles
        request.timeoutMilliseconds = max(1, min(request.timeoutMilliseconds, time.leftMilliseconds))
        let envelope = await jobs.run(request, router: router)
        do throws(Failure) {
            reply(try envelope.packed.map { .packed($0) } ?? .value(envelope.value))
        } catch {
            reply(.failure(error))
        }
        // What is sent is on the account of its connection by now.
        withExtendedLifetime(envelope) {}
    }

    /// With `besides`, a load, also how many other ones are on their way into the frame.
    private func statistics(_ argument: Value) throws(Failure) -> Value {
        let statistics = try FrameService.statistics(argument, cluster)
        guard case .int(let load)? = argument["besides"], let name = argument["name"]?.text else { return statistics }
        return .object([
            "rows": statistics["rows"] ?? .null,
            "loads": .int(Int64(cluster.loads.others(into: name, besides: UInt64(bitPattern: load)))),
        ])
    }

    static func query(_ argument: Value) throws(Failure) -> UInt64 {
        guard case .int(let query)? = argument["query"] else { throw malformed }
        return UInt64(bitPattern: query)
    }

    private func store(_ argument: Value, _ roles: Roles, _ due: Deadline) async -> Result<Value, Failure> {
        guard case .bytes(let key)? = argument["key"], case .bytes(let value)? = argument["value"] else {
            return .failure(Self.malformed)
        }
        return await withCheckedContinuation { continuation in
            router.store(key, value: value, deadline: due, roles: roles) { continuation.resume(returning: $0) }
        }
    }

    static let malformed = PeerRequest.notUnderstood

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

extension Cluster {
    /// `{rows, expected}` of the map that is at work here for a job; null where there is none.
    func jobProgress(_ query: UInt64) -> Value {
        guard let coverage = jobs.coverage(of: query) else { return .null }
        let rows = coverage.total.frames.keys.reduce(0) { sum, name in
            sum + (engine.frames.find(name)?.statistics.rows ?? 0)
        }
        return .object(["rows": .int(Int64(coverage.rowsSoFar)), "expected": .int(Int64(rows))])
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
