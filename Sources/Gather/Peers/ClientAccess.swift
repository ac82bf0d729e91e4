// Who may ask what: a command is a client as any other, a peer is asked by peers only.

package import Coordination
package import Engine

/// What clients may do, over memcached's protocol and as commands alike.
package struct ClientAccess: Sendable {
    /// `--no-virtual-keys` switches them off, and with them jobs, loads and frames.
    package var allowsVirtualKeys: Bool
    /// memcached's -F switches it off, for what peers pass on too.
    package var allowsFlush: Bool
    /// Of a name and its password, nil where they are wrong; none where nobody has to say who they are (memcached's -Y).
    package var rolesOfUser: RolesOfUser?
    /// Of clients on other machines, where nobody has to.
    package var openRoles: Roles
    /// Where logins are counted.
    package var desk: LoginDesk?

    package typealias RolesOfUser = @Sendable (_ login: [UInt8], _ password: [UInt8]) -> Roles?

    package init(
        allowsVirtualKeys: Bool = true, allowsFlush: Bool = true, rolesOfUser: RolesOfUser? = nil,
        openRoles: Roles = .asMemcached, desk: LoginDesk? = nil
    ) {
        self.allowsVirtualKeys = allowsVirtualKeys
        self.allowsFlush = allowsFlush
        self.rolesOfUser = rolesOfUser
        self.openRoles = openRoles
        self.desk = desk
    }

    /// What a client may do before it has said who it is.
    package func openRoles(of client: ClientAddress) -> Roles {
        OpenAccess(asksForPassword: rolesOfUser != nil, openRoles: openRoles).roles(isLocal: client.isLocal)
    }
}

extension ControlVerb {
    /// Asked by nodes of each other.
    private var isPeers: Bool {
        switch self {
        case .synchronize, .createFrame, .frameStatistics, .flush, .beginLoad, .prepareLoad, .decideLoad, .askLoad,
            .report:
            true
        case .topology, .status, .commitLoad, .abortLoad, .runJob, .dropFrame, .store, .listJobs, .jobProgress,
            .cancelJob, .explainJob, .activity, .describeJob, .whereabouts:
            false
        }
    }

    /// What a command does by it. What is no more than looking at the cluster, and a plain key, goes without virtual keys too.
    private enum ClientUse {
        case always(ClientAction)
        case withVirtualKeys(ClientAction)
        case never
    }

    private var clientUse: ClientUse {
        switch self {
        case .topology, .status, .activity, .whereabouts: .always(.lookAtCluster)
        // Of a plain key: see `ClusterNode.refusal(of:_:)`.
        case .store: .always(.changeItem)
        case .createFrame, .beginLoad, .commitLoad, .abortLoad: .withVirtualKeys(.appendRows)
        case .runJob, .explainJob: .withVirtualKeys(.sendLua)
        case .listJobs, .jobProgress: .withVirtualKeys(.lookAtCluster)
        case .describeJob: .withVirtualKeys(.describe)
        case .cancelJob: .withVirtualKeys(.cancelRun)
        case .synchronize, .frameStatistics, .flush, .dropFrame, .prepareLoad, .decideLoad, .askLoad, .report:
            .never
        }
    }

    /// What a client does by it; nil where no client may ask it.
    package var action: ClientAction? {
        switch clientUse {
        case .always(let action), .withVirtualKeys(let action): action
        case .never: nil
        }
    }

    func refusal(for counterpart: Counterpart, _ access: ClientAccess) -> Failure? {
        guard counterpart == .client else { return isPeers ? nil : PeerRequest.notForPeers }
        switch clientUse {
        case .always: return nil
        case .withVirtualKeys: return access.allowsVirtualKeys ? nil : PeerRequest.noVirtualKeys
        case .never: return PeerRequest.notForClients
        }
    }
}

extension PeerRequest {
    package static let notForClients = Failure(
        .scriptError, "not allowed: only nodes of the cluster ask each other that")
    static let notForPeers = Failure(.scriptError, "not allowed: only clients ask that")
    static let noVirtualKeys = Failure(
        .scriptError, "not allowed: the node was started with --no-virtual-keys, which takes jobs and frames too")

    /// Why whoever calls may not ask this; nil when they may.
    package func refusal(for counterpart: Counterpart, _ access: ClientAccess) -> Failure? {
        let isClient = counterpart == .client
        switch self {
        case .item, .call, .map: return isClient ? Self.notForClients : nil
        case .fetch(_, _, let byJob): return isClient && byJob ? Self.notForClients : nil
        case .stage: return !isClient || access.allowsVirtualKeys ? nil : Self.noVirtualKeys
        case .control(let verb, _): return verb.refusal(for: counterpart, access)
        }
    }
}
