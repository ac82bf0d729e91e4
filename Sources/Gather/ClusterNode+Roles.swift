// What a command does that asks something of a node over the peers' port, and whether its roles allow that.

import Coordination
package import Engine

extension ClusterNode {
    /// Why a client with these roles may not ask it, which clients may in general; nil where it may.
    package func refusal(of request: PeerRequest, _ roles: Roles) -> Failure? {
        guard roles != .all else { return nil }
        switch request {
        case .item, .call, .map: return PeerRequest.notForClients
        case .fetch(let key, _, _): return router.refusal(of: key, plain: .readItem, roles)
        case .stage: return roles.refusal(of: .appendRows, "a load")
        case .control(let verb, let argument): return refusal(of: verb, argument, roles)
        }
    }

    private func refusal(of verb: ControlVerb, _ argument: Value, _ roles: Roles) -> Failure? {
        guard var action = verb.action else { return PeerRequest.notForClients }
        switch verb {
        case .store:
            guard case .bytes(let key)? = argument["key"] else { break }
            return router.refusal(of: key, plain: action, roles)
        // A command runs a defined job by sending its Lua.
        case .runJob, .explainJob: if isDefined(argument) { action = .runDefinedMap }
        default: break
        }
        return roles.refusal(of: action, verb.name)
    }

    /// Whether a job that is sent is, by its name and to the byte, one that is defined.
    private func isDefined(_ argument: Value) -> Bool {
        guard let request = JobRequest(value: argument) else { return false }
        return cluster.readRegistry { registry in
            guard case .one(let job) = registry.job(named: request.name) else { return false }
            return job.definition.source == request.source
        }
    }
}

extension ControlVerb {
    /// As people call what a client does by it.
    fileprivate var name: String {
        switch action {
        case .appendRows: "a load"
        case .sendLua, .runDefinedMap: "a job's Lua"
        case .cancelRun: "job cancel"
        case .describe: "job show"
        default: "the cluster's state"
        }
    }
}
