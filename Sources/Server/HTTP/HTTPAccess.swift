// Who asks over HTTP, and what they may do: Basic authentication against the file of -Y, or what is open to everybody.

package import Gather
import HTTPTypes

package struct HTTPAccess: Sendable {
    private let access: ClientAccess

    package init(_ access: ClientAccess = ClientAccess()) { self.access = access }

    /// Whether a call came with a name and a password.
    enum Login: Sendable { case none, right, wrong }

    struct Finding: Sendable {
        let roles: Roles
        let login: Login
    }

    func find(_ call: HTTPCall) -> Finding {
        guard let rolesOfUser = access.rolesOfUser else {
            return Finding(roles: access.openRoles(of: call.client?.address ?? .local), login: .none)
        }
        guard let (login, password) = Self.basic(call.fields[.authorization]) else {
            return Finding(roles: [], login: .none)
        }
        guard let roles = rolesOfUser(login, password) else { return Finding(roles: [], login: .wrong) }
        return Finding(roles: roles, login: .right)
    }

    /// Throws 401 and 403. Probes say nothing that anybody must not know.
    func check(_ call: HTTPCall, _ finding: Finding, for action: ClientAction) throws(HTTPFailure) {
        guard action.role != nil else { return }
        guard access.rolesOfUser == nil || finding.login == .right else {
            var failure = HTTPFailure(
                .unauthorized, "unauthenticated",
                "this node wants to know who you are: send a name and its password (Basic)")
            failure.fields[.wwwAuthenticate] = "Basic realm=\"cacheismo\", charset=\"UTF-8\""
            throw failure
        }
        if let refusal = finding.roles.refusal(of: action, Self.shown(call)) { throw HTTPFailure(refusal) }
    }

    private static func shown(_ call: HTTPCall) -> String {
        let path = call.path.map { String(decoding: $0.prefix(60), as: UTF8.self) }.joined(separator: "/")
        return "\(call.method.rawValue) /\(path)"
    }

    /// Whether a call's answer may have to wait for its login.
    func maySlow(_ call: HTTPCall, _ login: Login) -> Bool {
        guard login == .right, let client = call.client, !client.isKnown else { return login == .wrong }
        return access.desk?.isSlow(client.address) ?? false
    }

    /// Counts a login; how long its answer has to wait, in milliseconds. A connection whose login was right is not asked again.
    func count(_ login: Login, of call: HTTPCall) -> Int {
        guard login != .none, let desk = access.desk else { return 0 }
        if login == .right {
            guard call.client?.isKnown != true else { return 0 }
            call.client?.markKnown()
        }
        return desk.attempt(from: call.client?.address ?? .local, isRight: login == .right)
    }

    /// The name and the password of a field.
    private static func basic(_ field: String?) -> (login: [UInt8], password: [UInt8])? {
        guard let field, field.lowercased().hasPrefix("basic ") else { return nil }
        let text = Array(field.dropFirst(6).trimmed.utf8)
        let bytes: [UInt8] = text.withUnsafeBytes { Base64.decodedCount($0) == nil ? [] : Base64.decoded($0) }
        guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else { return nil }
        return (Array(bytes[..<colon]), Array(bytes[(colon + 1)...]))
    }
}
