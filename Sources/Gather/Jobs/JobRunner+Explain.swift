// What a job would do, without doing it: its plans, on how many chunks of how many shards, and how they would be worked out.

import Coordination
package import Engine

extension JobRunner {
    /// `{job, about, parameters, nodes, plans: [{plan, shards, rows, chunks, pruned, cached, reads, groups, kernels}, …]}`.
    package func explain(_ request: JobRequest) async throws(Failure) -> Value {
        let deadline = cluster.environment.deadline(afterMilliseconds: request.timeoutMilliseconds)
        let cancellation = Cancellation()
        let outcome = try await JobRace.run(
            job: request.name, by: deadline, cancellation, in: cluster
        ) { () async -> Result<Value, Failure> in
            do throws(Failure) {
                return .success(try await explain(request, deadline, cancellation))
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }

    private func explain(
        _ request: JobRequest, _ deadline: Deadline, _ cancellation: Cancellation
    ) async throws(Failure) -> Value {
        let definition = try await load(request, now: cluster.environment.unixMilliseconds, deadline, cancellation)
            .definition
        let parameters = try JobParameters.resolve(
            given: request.parameters, defaults: definition.parameters, job: request.name)
        var plans: [Value] = []
        var nodes = 0
        if !definition.hasRun {
            let map = MapRequest(
                query: cluster.newQuery(), name: request.name, source: request.source, parameters: parameters,
                deadlineMilliseconds: UInt32(mapMilliseconds(of: deadline)), now: cluster.environment.unixMilliseconds,
                explains: true)
            let limit = cluster.environment.deadline(afterMilliseconds: Int(map.deadlineMilliseconds))
            let outcome = await scatter(map, require: .all, by: limit, JobLog(memory: cluster.engine.jobStates.memory))
                .outcome()
            if let (node, failure) = outcome.failure {
                throw failure.naming(cluster.topology.nodes[node].name)
            }
            nodes = outcome.answers.count
            plans = try Self.merged(outcome.answers.map(\.answer))
        }
        return .object([
            "job": .string(request.name), "about": definition.about.map { .string($0) } ?? .null,
            "parameters": parameters, "nodes": .int(Int64(nodes)), "plans": .array(plans),
        ])
    }

    /// The same plan on several shards becomes one entry; counts add up, lists are united.
    private static func merged(_ answers: [NodeAnswer]) throws(Failure) -> [Value] {
        var order: [[UInt8]] = []
        var found: [[UInt8]: [Value]] = [:]
        for answer in answers {
            guard case .value(let leased)? = answer.partial, case .array(let list) = leased.value else {
                throw Failure(.scriptVersion, "an explanation in a version that is not understood")
            }
            for entry in list {
                let plan = (entry["plan"] ?? .null).json
                if found[plan] == nil { order.append(plan) }
                found[plan, default: []].append(entry)
            }
        }
        return order.map { sum(found[$0] ?? []) }
    }

    private static func sum(_ entries: [Value]) -> Value {
        func count(_ field: String) -> Value {
            .int(entries.reduce(0) { if case .int(let count)? = $1[field] { $0.clampedAdding(count) } else { $0 } })
        }
        func united(_ field: String) -> Value {
            var seen: [String] = []
            for entry in entries {
                var words: [String] = []
                switch entry[field] {
                case .array(let list)?: words = list.compactMap(\.text)
                case let value?: words = value.text.map { [$0] } ?? []
                case nil: break
                }
                for word in words where !seen.contains(word) { seen.append(word) }
            }
            return .array(seen.map { .string($0) })
        }
        return .object([
            "plan": entries.first?["plan"] ?? .null, "shards": count("shards"), "rows": count("rows"),
            "chunks": count("chunks"), "pruned": count("pruned"), "cached": count("cached"), "reads": united("reads"),
            "groups": united("groups"), "kernels": united("kernels"),
        ])
    }
}
