// What defined jobs are, and what they say of themselves: worked out once for each source.

import Coordination
package import Engine
import Synchronization

/// Bounded by the jobs that there are.
package final class JobDefinitions: Sendable {
    private static let checkMilliseconds = 1_000
    private static let keptMax = 10_000

    private let bySource = Mutex([[UInt8]: JobDefinition]())

    package init() {}

    /// Nil where there is none of that name. Throws where there are several, and where this node does not know yet.
    package static func source(of name: String, _ cluster: Cluster) throws(Failure) -> [UInt8]? {
        switch cluster.readRegistry({ $0.job(named: name) }) {
        case .one(let job): return job.definition.source
        case .conflict(let found): throw RegistryReplica.conflict(ofJob: name, found)
        case .none:
            try cluster.requireSettled(toFind: "a job '\(name)'")
            return nil
        }
    }

    /// Runs the top level of a source that was not seen before. Throws what is wrong with it.
    package func definition(
        of name: String, source: [UInt8], _ cluster: Cluster
    ) async throws(Failure) -> JobDefinition {
        if let known = bySource.withLock({ $0[source] }) { return known }
        let deadline = cluster.environment.deadline(afterMilliseconds: Self.checkMilliseconds)
        let now = cluster.environment.unixMilliseconds
        let states = cluster.engine.jobStates
        let found = try await cluster.engine.jobScripts.attempt(by: deadline) { () throws(Failure) in
            try JobScript(source, name: name, now: now, deadline: deadline, states: states).definition
        }
        bySource.withLock { known in
            if known.count >= Self.keptMax { known = [:] }
            known[source] = found
        }
        return found
    }

    /// `{name, about, params, source}`.
    package func value(of name: String, source: [UInt8], _ cluster: Cluster) async throws(Failure) -> Value {
        let definition = try await definition(of: name, source: source, cluster)
        return .object([
            "name": .string(name), "about": .string(definition.about ?? ""), "params": .map(definition.parameters),
            "source": .bytes(source),
        ])
    }

    /// The same of a job by its name.
    func value(of name: String, _ cluster: Cluster) async throws(Failure) -> Value {
        guard let source = try Self.source(of: name, cluster) else {
            throw Failure(
                .miss,
                "there is no job '\(name)': cacheismo job define NAME FILE defines one, "
                    + "cacheismo query job:list: lists those that there are")
        }
        return try await value(of: name, source: source, cluster)
    }
}
