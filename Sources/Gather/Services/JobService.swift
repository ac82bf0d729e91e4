// `job:…` virtual keys: define a job once, run it by name from any memcached client, on any node.

package import Engine

package struct JobService: VirtualService {
    package let type = "job"
    package let methods: Set<String> = ["define", "run", "list"]
    private static let sourceBytesMax = 256 << 10

    package init() {}

    package func call(
        _ key: VirtualKey, data: [UInt8]?, deadline: Deadline, router: Router, completion: @escaping CallCompletion
    ) {
        switch key.method {
        case "list": completion(.success(Self.list(router.cluster)))
        case "define": Task { completion(await Self.define(key, data, router.cluster)) }
        default: Task { completion(await Self.run(key, deadline, router)) }
        }
    }

    private static func name(_ key: VirtualKey) throws(Failure) -> String {
        let name = String(decoding: key.object, as: UTF8.self)
        guard !name.isEmpty else { throw Failure(.scriptError, "job:\(key.method):NAME: the name is missing") }
        return name
    }

    private static func list(_ cluster: Cluster) -> Value {
        .array(cluster.readRegistry { $0.jobs.keys.sorted() }.map { .string($0) })
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
            let check = await cluster.engine.compute.run { () -> Failure? in
                do throws(Failure) {
                    _ = try JobScript(
                        source, name: name, now: unixMilliseconds(), deadline: .after(milliseconds: 1_000))
                    return nil
                } catch {
                    return error
                }
            }
            if let check { throw check }
            cluster.changeRegistry { $0.defineJob(name, source: source, now: unixMilliseconds()) }
            await cluster.publish()
            return .success(.string("DEFINED"))
        } catch {
            return .failure(error)
        }
    }

    /// `get job:run:NAME[:param=value…][:require=…][:timeout=ms]`: the envelope, as JSON. A job that fails answers an
    /// envelope with `error`: there is no way to mistake it for an answer.
    private static func run(_ key: VirtualKey, _ deadline: Deadline, _ router: Router) async -> Result<Value, Failure> {
        do throws(Failure) {
            let name = try name(key)
            guard let job = router.cluster.readRegistry({ $0.jobs[name] }) else {
                throw Failure(.scriptError, "there is no job '\(name)': define it with set job:define:\(name)")
            }
            var request = JobRequest(name: name, source: job.source)
            try request.take(assignments: key.arguments.map { String(decoding: $0, as: UTF8.self) })
            if deadline != .never {
                request.timeoutMilliseconds = min(request.timeoutMilliseconds, deadline.remainingMilliseconds)
            }
            return .success(await JobRunner(cluster: router.cluster).run(request, router: router).value)
        } catch {
            return .failure(error)
        }
    }
}
