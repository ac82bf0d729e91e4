// What clients can ask of a node, whatever words they use for it, and the role that each of these things needs: the one table of that.

package import Engine

/// Every command, method, endpoint and control message of a client is one of these.
package enum ClientAction: Sendable, CaseIterable {
    /// `quit`, `mn`, a probe: nothing of the cache is told or changed.
    case touchNothing
    /// Statistics, metrics, versions, the page, where keys live, what runs.
    case lookAtCluster
    /// A plain key's value; lists of keys.
    case readItem
    /// A method that changes nothing; also one that there isn't, so that everybody is told so.
    case callReadonly
    /// What frames, types, indexes and jobs there are, and what they look like.
    case describe
    /// A defined job with `map`, or its explanation.
    case runDefinedMap
    /// Also its time to live, and memcached's gat.
    case changeItem
    /// Any other method of an object, `TYPE:drop` too; what a handler of the low-level interface does is not known.
    case callMethod
    /// Rows, in one block or in a load.
    case appendRows
    /// A job with `run(p)`, defined or sent: it may call what changes something.
    case runFreeForm
    case flush
    case defineJob
    case dropJob
    /// Lua that comes with the request, to be run or explained.
    case sendLua
    /// A frame's end, and how long its rows are kept.
    case alterFrame
    case cancelRun
    /// Limits, counters, what the server does in the background, what it logs.
    case tuneNode
    /// Seeing what other clients ask.
    case watchOthers
    case shutDown

    /// Nil: anybody may, also who has not said who they are.
    package var role: Role? {
        switch self {
        case .touchNothing: nil
        case .lookAtCluster, .readItem, .callReadonly, .describe, .runDefinedMap: .read
        case .changeItem, .callMethod, .appendRows, .runFreeForm: .write
        case .flush: .flush
        case .defineJob, .dropJob, .sendLua: .script
        case .alterFrame, .cancelRun, .tuneNode, .watchOthers, .shutDown: .admin
        }
    }
}

extension Roles {
    package func allow(_ action: ClientAction) -> Bool { action.role.map { includes($0) } ?? true }

    /// Why whoever has these roles may not do it; nil where they may. `what`: as they asked for it.
    package func refusal(of action: ClientAction, _ what: @autoclosure () -> String) -> Failure? {
        guard let role = action.role, !includes(role) else { return nil }
        return Failure(.notAllowed, "not allowed: \(what()) needs the role \(role.rawValue); you have \(description)")
    }
}

/// What a connection may do before it has said who it is.
package struct OpenAccess: Sendable {
    /// There is a file of passwords: nobody may do anything without one.
    package var asksForPassword: Bool
    /// Of clients on other machines where there is none.
    package var openRoles: Roles

    package init(asksForPassword: Bool = false, openRoles: Roles = .asMemcached) {
        self.asksForPassword = asksForPassword
        self.openRoles = openRoles
    }

    /// `isLocal`: the client is on this machine.
    package func roles(isLocal: Bool) -> Roles { asksForPassword ? [] : isLocal ? .all : openRoles }
}
