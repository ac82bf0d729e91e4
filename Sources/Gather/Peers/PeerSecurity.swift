// Who a node takes for a peer, and as whom a link calls: what the handshake is made of, on this side of the sockets.

package import Coordination
package import Engine
package import NIOCore

/// How nodes make sure of each other.
package struct PeerSecurity: Sendable {
    package var secret: ClusterSecret?
    /// `--insecure-peers`.
    package var trustsAnyAddress: Bool

    package init(secret: ClusterSecret? = nil, trustsAnyAddress: Bool = false) {
        self.secret = secret
        self.trustsAnyAddress = trustsAnyAddress
    }

    package func identity(topology: Topology, incarnation: UInt64) -> PeerIdentity {
        PeerIdentity(
            name: topology.selfName, incarnation: incarnation, epoch: topology.epoch,
            others: Set(topology.nodes.map(\.name)).subtracting([topology.selfName]), secret: secret,
            trustsAnyAddress: trustsAnyAddress)
    }

    /// Throws, naming the peer and the remedy, where one is beyond this machine and nothing says that it may be.
    package func check(_ topology: Topology) throws(Failure) {
        guard secret == nil, !trustsAnyAddress, !topology.isAlone,
            let node = topology.nodes.first(where: { !Self.isLoopback(host: $0.host) })
        else { return }
        throw Failure(
            .wrongType,
            "peer \(node.name) is on another machine (\(node.address)): give all nodes the same --cluster-secret FILE, "
                + "or --insecure-peers where nobody else can reach them")
    }

    /// Names other than localhost may mean any address: they count as other machines.
    package static func isLoopback(host: String) -> Bool {
        if host.lowercased() == "localhost" { return true }
        return (try? SocketAddress(ipAddress: host, port: 0))?.isLoopback ?? false
    }

    /// Of the system's chance, which nobody can foretell: nothing but proofs depends on it.
    static func nonce() -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<LinkMessage.nonceBytes).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }
}

/// As whom a link calls.
package enum PeerCaller: Sendable {
    case node(PeerIdentity)
    /// A command, with a name and a password where it has them.
    case client(login: [UInt8], password: [UInt8])

    func greeting(target: String, purpose: PeerHello.Purpose) -> CallerGreeting {
        switch self {
        case .node(let identity):
            CallerGreeting(identity: identity, target: target, nonce: PeerSecurity.nonce(), purpose: purpose)
        case .client(let login, let password):
            CallerGreeting(login: login, password: password, nonce: PeerSecurity.nonce())
        }
    }

    /// What its requests are made in: a command's in no view of the nodes.
    var epoch: UInt64 {
        guard case .node(let identity) = self else { return 0 }
        return identity.epoch
    }

    func mayReach(isLoopback: Bool) -> Bool {
        guard case .node(let identity) = self else { return true }
        return identity.allows(isLoopback: isLoopback)
    }
}

extension SocketAddress {
    /// This machine itself: 127.0.0.0/8, ::1, either written as the other, or a unix socket.
    package var isLoopback: Bool {
        ipAddress.map { PeerTransport.isLoopback(address: $0) } ?? true
    }
}

extension Environment {
    package var now: Instant { Instant(nanoseconds: uptimeNanoseconds) }
}

extension Refusal {
    package var failure: Failure {
        switch kind {
        case .version: failure(.scriptVersion)
        case .otherList: failure(.wrongEpoch)
        case .notAllowed: failure(.unreachable)
        }
    }

    private func failure(_ reason: Reason) -> Failure {
        Failure(reason, message, about: names.map { .named($0) })
    }

    /// As the other side said it.
    init(_ failure: Failure) {
        let kind: Kind =
            switch failure.reason {
            case .scriptVersion: .version
            case .wrongEpoch: .otherList
            default: .notAllowed
            }
        self.init(kind, failure.message, about: failure.subjects.map(\.name))
    }
}
