// `job:…` virtual keys: define a job once, run it by name from any memcached client, on any node.

import Coordination
package import Engine

package struct JobService: VirtualService {
    package let type = "job"
    private let reports: NodeReports

    package enum Method: String, ServiceMethod {
        case define, run, list, drop, source, active, cancel

        package var signature: MethodSignature {
            switch self {
            case .define: MethodSignature(parameters: ["name"], least: 1)
            case .run: MethodSignature(parameters: ["name"], least: 1, isOpen: true)
            case .list, .active: MethodSignature()
            case .drop, .source: MethodSignature(parameters: ["name"], least: 1)
            case .cancel: MethodSignature(parameters: ["id"], least: 1)
            }
        }

        package var takesData: Bool { self == .define }
        /// Whether a run changes anything is its script's to say.
        package var isReadonly: Bool { self == .list || self == .active || self == .source }

        package var action: ClientAction {
            switch self {
            case .define: .defineJob
            // What a run(p) needs besides is known once its script is (`JobRunner`).
            case .run: .runDefinedMap
            case .list, .source: .describe
            case .active: .lookAtCluster
            case .drop: .dropJob
            case .cancel: .cancelRun
            }
        }
    }

    private static let sourceBytesMax = 256 << 10
    /// Of all jobs together: every node holds them all, and tells them to the others.
    private static let allSourceBytesMax = 8 << 20
    private static let jobsMax = 10_000
    /// What the top level of a job may take when it is defined.
    private static let checkMilliseconds = 1_000

    package init(_ reports: NodeReports) { self.reports = reports }

    package func perform(
        _ method: Method, _ call: ServiceCall, _ router: Router, completion: @escaping CallCompletion
    ) {
        let (cluster, key) = (router.cluster, call.key)
        switch method {
        case .list: completion(.success(Self.list(cluster)))
        case .define: cluster.environment.task { completion(await Self.define(key, call.data, cluster)) }
        case .drop: cluster.environment.task { completion(await Self.drop(key, cluster)) }
        case .source:
            completion(
                Result { () throws(Failure) in .bytes(try Self.source(of: try Self.name(key), cluster)) })
        case .active:
            cluster.environment.task { [reports] in
                completion(.success(.array(await reports.runs().runs.filter { $0["state"] == .string("running") })))
            }
        case .cancel: cluster.environment.task { [reports] in completion(await Self.cancel(key, reports)) }
        case .run:
            Task(executorPreference: cluster.engine.compute) {
                completion(await Self.run(call, router).map(\.value))
            }
        }
    }

    package func performForText(
        _ method: Method, _ call: ServiceCall, _ router: Router, completion: @escaping TextCompletion
    ) {
        guard method == .run else {
            return perform(method, call, router) { completion($0.map { .bytes($0.answer) }) }
        }
        Task(executorPreference: router.cluster.engine.compute) {
            let envelope = await Self.run(call, router)
            completion(envelope.map { $0.leasedText.map { .leased($0) } ?? .bytes($0.value.answer) })
        }
    }

    private static func name(_ key: VirtualKey) throws(Failure) -> String {
        let name = String(decoding: key.object, as: UTF8.self)
        guard !name.isEmpty else { throw Failure(.scriptError, "job:\(key.method):NAME: the name is missing") }
        let bytesMax = PeerRequest.nameBytesMax
        guard name.utf8.count <= bytesMax else {
            throw Failure(.scriptError, "a job's name has 1 to \(bytesMax) bytes, this one has \(name.utf8.count)")
        }
        return name
    }

    private static func list(_ cluster: Cluster) -> Value {
        .array(cluster.readRegistry { $0.jobs.names }.map { .string($0) })
    }

    /// `set job:define:NAME` with the Lua source as data block. Checked before it is kept; known to every node that can
    /// be reached when it answers, and to the others when they come back.
    private static func define(_ key: VirtualKey, _ data: [UInt8]?, _ cluster: Cluster) async -> Result<Value, Failure>
    {
        do throws(Failure) {
            let name = try name(key)
            guard let source = data else {
                throw Failure(.scriptError, "job:define:\(name) needs the job's Lua as the data block of a set")
            }
            guard source.count <= sourceBytesMax else {
                throw Failure(
                    .budgetExceeded, "job \(name) has \(source.count) bytes of Lua, at most \(sourceBytesMax)")
            }
            let deadline = cluster.environment.deadline(afterMilliseconds: checkMilliseconds)
            let states = cluster.engine.jobStates
            try await cluster.engine.jobScripts.attempt(by: deadline) { () throws(Failure) in
                _ = try JobScript(
                    source, name: name, now: cluster.environment.unixMilliseconds, deadline: deadline, states: states)
            }
            // What it replaces is what this node knows of.
            await cluster.settle()
            let isFull = cluster.changeRegistry { registry in
                let (count, bytes) = registry.jobTotals(without: name)
                guard count < jobsMax, bytes + source.count <= allSourceBytesMax else { return true }
                registry.defineJob(name, source: source)
                return false
            }
            guard !isFull else {
                throw Failure(
                    .budgetExceeded,
                    "job \(name) is one too many: at most \(jobsMax) jobs and \(allSourceBytesMax >> 20) MiB of Lua; "
                        + "drop one (get job:drop:NAME, get job:list:)", fault: .server)
            }
            await cluster.publish()
            return .success(.string("DEFINED"))
        } catch {
            return .failure(error)
        }
    }

    /// `get job:drop:NAME`.
    private static func drop(_ key: VirtualKey, _ cluster: Cluster) async -> Result<Value, Failure> {
        do throws(Failure) {
            let name = try name(key)
            guard cluster.changeRegistry({ $0.dropJob(name) }) else {
                try cluster.requireSettled(toFind: "a job '\(name)'")
                throw Failure(.scriptError, "there is no job '\(name)'")
            }
            await cluster.publish()
            return .success(.string("DROPPED"))
        } catch {
            return .failure(error)
        }
    }

    /// `get job:cancel:ID`: CANCELLED, or DONE where it was over.
    private static func cancel(_ key: VirtualKey, _ reports: NodeReports) async -> Result<Value, Failure> {
        let id = String(decoding: key.object, as: UTF8.self)
        do throws(Failure) {
            guard let query = NodeReports.query(id: id), let (wasRunning, run) = try await reports.cancel(query) else {
                return .failure(
                    Failure(.miss, "there is no run '\(id.prefix(40))'; get job:active tells of those under way"))
            }
            guard wasRunning else { return .success(.string("DONE")) }
            guard run["state"] != .string("running") else {
                return .failure(Failure(.timeout, "run \(id) has not ended yet: cancel it again"))
            }
            return .success(.string("CANCELLED"))
        } catch {
            return .failure(error)
        }
    }

    /// `get job:run:NAME[:param=value…][:require=…][:timeout=ms]`: the envelope, as JSON. A job that fails answers an
    /// envelope with `error`: there is no way to mistake it for an answer.
    private static func run(_ call: ServiceCall, _ router: Router) async -> Result<Envelope, Failure> {
        let (key, deadline) = (call.key, call.deadline)
        do throws(Failure) {
            let name = try name(key)
            let source = try source(of: name, router.cluster)
            var request = JobRequest(name: name, source: source)
            request.roles = call.roles
            try request.take(assignments: key.arguments.map { String(decoding: $0, as: UTF8.self) })
            if deadline != .never {
                request.timeoutMilliseconds = min(
                    request.timeoutMilliseconds, router.cluster.environment.remainingMilliseconds(until: deadline))
            }
            return .success(await JobRunner(cluster: router.cluster).run(request, router: router))
        } catch {
            return .failure(error)
        }
    }

    /// The Lua of a defined job.
    private static func source(of name: String, _ cluster: Cluster) throws(Failure) -> [UInt8] {
        guard let source = try JobDefinitions.source(of: name, cluster) else {
            throw Failure(.scriptError, "there is no job '\(name)': define it with set job:define:\(name)")
        }
        return source
    }
}
