// What nodes show of each other to people: their figures, the runs that they coordinate and how far those are.

import Coordination
package import Engine
import Synchronization

/// What HTTP, virtual keys and commands tell of the nodes comes from here.
package final class NodeReports: Sendable {
    let cluster: Cluster
    /// What `cluster status` shows.
    let version: String
    /// What the server knows of itself.
    private let figures = Mutex<(@Sendable () -> Value)?>(nil)

    package init(_ cluster: Cluster, version: String = "") {
        self.cluster = cluster
        self.version = version
    }

    /// Sets what `figures` are: the server's own, as it has the counters.
    package func setFigures(_ figures: @escaping @Sendable () -> Value) { self.figures.withLock { $0 = figures } }

    /// What the server says of itself; null where there is none.
    var ownFigures: Value { figures.withLock { $0 }?() ?? .null }

    /// `{about}`: `figures` → what the server says of itself · `runs` → `{runs, maps}`, see `runsHere` · `run`, with a `query` →
    /// that run with its envelope, or null · `progress`, with a `query` → `{rows, expected}` of its map, or null · `cancel`, with a
    /// `query` → whether there was anything to cancel.
    func report(_ argument: Value) throws(Failure) -> Value {
        switch argument["about"]?.text {
        case "figures": return ownFigures
        case "runs": return runsHere
        case "run": return ownRun(try ClusterNode.query(argument)) ?? .null
        case "progress": return cluster.jobProgress(try ClusterNode.query(argument))
        case "cancel": return .bool(cluster.jobs.cancel(try ClusterNode.query(argument)))
        default: throw ClusterNode.malformed
        }
    }

    /// What `top` shows of this node: `{figures, runs, maps}`, see `report`.
    var activity: Value {
        guard case .map(let pairs) = runsHere else { return .null }
        return .map([Value.Pair(.string("figures"), ownFigures)] + pairs)
    }

    /// The same as `report` of all nodes, this one too, each as far as it answers within a second.
    package func reports(
        about what: String, query: UInt64? = nil, milliseconds: Int = 1_000
    ) async -> [(node: String, answer: Result<Value, Failure>)] {
        let argument = Value.object([
            "about": .string(what), "query": query.map { .int(Int64(bitPattern: $0)) } ?? .null,
        ])
        let deadline = cluster.environment.deadline(afterMilliseconds: milliseconds)
        let nodes = cluster.topology.nodes
        return await withTaskGroup(of: (Int, Result<Value, Failure>).self) { group in
            for index in nodes.indices {
                group.addTask { (index, await self.report(argument, of: index, deadline)) }
            }
            return await group.reduce(into: []) { $0.append($1) }.sorted { $0.0 < $1.0 }
        }
        .map { (nodes[$0.0].name, $0.1) }
    }

    /// The run with its envelope, as far as this node knows it; see `report`.
    package func ownRun(_ query: UInt64) -> Value? {
        cluster.jobs.run(query).map { value(of: $0, withEnvelope: true) }
    }

    private func report(_ argument: Value, of node: Int, _ deadline: Deadline) async -> Result<Value, Failure> {
        guard node == cluster.topology.selfIndex else {
            let request = PeerRequest.control(verb: .report, argument: argument)
            return Router.value(of: await cluster.send(request, to: node, deadline: deadline))
        }
        do throws(Failure) { return .success(try report(argument)) } catch { return .failure(error) }
    }

    /// `{runs, maps: [{id, rows, expected}, …]}`: what this node coordinates, and how far the maps are that are at work here.
    private var runsHere: Value {
        .object([
            "runs": .array(cluster.jobs.runs.map { value(of: $0, withEnvelope: false) }),
            "maps": .array(
                cluster.jobs.maps.keys.map { query in
                    let progress = cluster.jobProgress(query)
                    return .object([
                        "id": .string(String(query, radix: 16)), "rows": progress["rows"] ?? .int(0),
                        "expected": progress["expected"] ?? .int(0),
                    ])
                }),
        ])
    }

    /// `{id, job, node, state, status, started, ms, rows, params, envelope}`.
    private func value(of run: RunLog.Run, withEnvelope: Bool) -> Value {
        let instant = Timestamp.text(run.startedUnixMilliseconds * 1_000)
        var pairs: [Value.Pair] = []
        func add(_ name: String, _ value: Value) { pairs.append(Value.Pair(.string(name), value)) }
        add("id", .string(String(run.query, radix: 16)))
        add("job", .string(run.job))
        add("node", .string(cluster.selfName))
        add("state", .string(run.status == nil ? "running" : "done"))
        add("status", run.status.map { .string($0) } ?? .null)
        add("started", .string(instant))
        add("ms", .double((run.milliseconds * 1_000).rounded() / 1_000))
        add(
            "rows",
            .object([
                "scanned": .int(Int64(run.envelope?.rowsScanned ?? 0)),
                "expected": .int(Int64(run.envelope?.rowsExpected ?? 0)),
            ]))
        add("params", .map(run.parameters.sorted { $0.key < $1.key }.map { Value.Pair(.string($0.key), $0.value) }))
        if withEnvelope, let envelope = run.envelope { add("envelope", envelope.value) }
        return .map(pairs)
    }
}
