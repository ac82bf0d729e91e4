// The handshake of a peer connection, its two ends as state machines: who is it, and does it know the secret?

/// Why somebody was refused: one line for people, and whether it was about the version or the list of peers.
package struct Refusal: Error, Hashable {
    package enum Kind: Sendable { case version, otherList, notAllowed }
    package let kind: Kind
    package let message: String
    /// The nodes that the message names.
    package let names: [String]

    package init(_ kind: Kind, _ message: String, about names: String...) {
        self.init(kind, message, about: names)
    }

    package init(_ kind: Kind, _ message: String, about names: [String]) {
        self.kind = kind
        self.message = message
        self.names = names
    }
}

/// Who a node is, and whom it takes for a peer.
package struct PeerIdentity: Sendable {
    package var name: String
    package var incarnation: UInt64
    package var epoch: UInt64
    /// The other nodes' names.
    package var others: Set<String>
    package var secret: ClusterSecret?
    /// Without a secret only what comes from this machine, or goes there, is taken for a peer; with this, anybody.
    package var trustsAnyAddress: Bool

    package init(
        name: String, incarnation: UInt64, epoch: UInt64, others: Set<String>, secret: ClusterSecret? = nil,
        trustsAnyAddress: Bool = false
    ) {
        self.name = name
        self.incarnation = incarnation
        self.epoch = epoch
        self.others = others
        self.secret = secret
        self.trustsAnyAddress = trustsAnyAddress
    }

    /// Whether a connection whose other end is there may be a peer's at all.
    package func allows(isLoopback: Bool) -> Bool { secret != nil || trustsAnyAddress || isLoopback }
}

/// Who is at the other end.
package enum Counterpart: Sendable, Hashable {
    case node(name: String, incarnation: UInt64)
    case client
}

/// The end that calls.
package struct CallerGreeting: Sendable {
    /// Nil for a command, which proves nothing and asks for no proof.
    private let identity: PeerIdentity?
    private let target: String
    private let nonce: [UInt8]
    private let purpose: PeerHello.Purpose
    private let login: [UInt8]
    private let password: [UInt8]
    private var counterpart: Counterpart?

    package enum Step: Sendable, Equatable {
        case send(LinkMessage)
        case welcomed(Counterpart)
        case declined(Refusal)
    }

    /// `nonce`: fresh random bytes, for this connection alone.
    package init(
        identity: PeerIdentity, target: String, nonce: [UInt8], purpose: PeerHello.Purpose = .anything
    ) {
        self.identity = identity
        self.target = target
        self.nonce = nonce
        self.purpose = purpose
        (login, password) = ([], [])
    }

    package init(login: [UInt8], password: [UInt8], nonce: [UInt8]) {
        identity = nil
        target = ""
        self.nonce = nonce
        purpose = .anything
        (self.login, self.password) = (login, password)
    }

    package var hello: PeerHello {
        identity.map { PeerHello(name: $0.name, epoch: $0.epoch, purpose: purpose) } ?? .client
    }

    package var greet: LinkMessage {
        .greet(incarnation: identity?.incarnation ?? 0, target: target, nonce: nonce)
    }

    /// `stamp`: this end's clock now. Nil for what means nothing here.
    package mutating func receive(_ message: LinkMessage, stamp: UInt64) -> Step? {
        switch message {
        case .challenge(let name, let incarnation, let theirNonce, let proof):
            guard counterpart == nil else { return nil }
            counterpart = .node(name: name, incarnation: incarnation)
            guard let identity else {
                return .send(.answer(proof: [], stamp: stamp, login: login, password: password))
            }
            guard name == target else {
                return .declined(
                    Refusal(
                        .otherList, "the node there is '\(name.prefix(64))', not '\(target)'",
                        about: String(name.prefix(64)), target))
            }
            guard let secret = identity.secret else {
                return .send(.answer(proof: [], stamp: stamp, login: [], password: []))
            }
            let context = ClusterSecret.Context(
                caller: identity.name, callerIncarnation: identity.incarnation, called: name,
                calledIncarnation: incarnation, epoch: identity.epoch, callerNonce: nonce, calledNonce: theirNonce)
            guard secret.accepts(proof, of: .called, in: context) else {
                return .declined(
                    Refusal(
                        .notAllowed,
                        "\(target) does not prove that it knows the cluster's secret: "
                            + "start all nodes with the same --cluster-secret",
                        about: target))
            }
            let own = secret.proof(of: .caller, in: context)
            return .send(.answer(proof: own, stamp: stamp, login: [], password: []))
        case .welcome: return counterpart.map { .welcomed($0) }
        case .greet, .answer, .ping, .pong: return nil
        }
    }
}

/// The end that was called.
package struct CalledGreeting: Sendable {
    private let identity: PeerIdentity
    private let hello: PeerHello?
    private let isLoopback: Bool
    private let nonce: [UInt8]
    private var phase = Phase.greet

    private enum Phase: Sendable {
        case greet
        case answer(asked: Instant, incarnation: UInt64, callerNonce: [UInt8])
        case done
    }

    package enum Step: Sendable, Equatable {
        case send(LinkMessage)
        /// Taken, once the login is right where one is wanted. `asked`: when the caller was asked what it answers with
        /// its `stamp`.
        case taken(Counterpart, asked: Instant, stamp: UInt64, login: [UInt8], password: [UInt8])
        case refused(Refusal)
    }

    /// `nonce`: fresh random bytes, for this connection alone.
    package init(identity: PeerIdentity, line: String, isLoopback: Bool, nonce: [UInt8]) {
        self.identity = identity
        hello = PeerHello(line: line)
        self.isLoopback = isLoopback
        self.nonce = nonce
    }

    /// What the line alone is refused for.
    package var refusal: Refusal? {
        guard let hello, hello.version == PeerHello.version else {
            return Refusal(
                .version,
                "\(identity.name) speaks peer version \(PeerHello.version)"
                    + (hello.map { ", not \($0.version): run the same version everywhere" } ?? ""),
                about: identity.name)
        }
        guard !hello.isClient else { return nil }
        guard !identity.others.isEmpty else {
            return Refusal(
                .otherList, "\(identity.name) has no peers: start it with --name and --peers", about: identity.name)
        }
        guard hello.epoch == identity.epoch else {
            return Refusal(
                .otherList,
                "\(hello.name.prefix(64)) and \(identity.name) have different peer lists: "
                    + "start both with the same --peers",
                about: String(hello.name.prefix(64)), identity.name)
        }
        guard identity.others.contains(hello.name) else {
            return Refusal(
                .otherList, "'\(hello.name.prefix(64))' is none of \(identity.name)'s peers",
                about: String(hello.name.prefix(64)), identity.name)
        }
        guard identity.allows(isLoopback: isLoopback) else {
            return Refusal(
                .notAllowed,
                "\(identity.name) takes peers from other machines with --cluster-secret FILE only, "
                    + "or with --insecure-peers",
                about: identity.name)
        }
        return nil
    }

    package mutating func receive(_ message: LinkMessage, now: Instant) -> Step {
        if let refusal { return .refused(refusal) }
        guard let hello else { preconditionFailure("refused above") }
        switch (message, phase) {
        case (.greet(let incarnation, let target, let callerNonce), .greet):
            guard hello.isClient || target == identity.name else {
                return refuse(
                    .otherList, "this is \(identity.name), not '\(target.prefix(64))'",
                    about: identity.name, String(target.prefix(64)))
            }
            // A nonce of ours that comes back is a reflection.
            guard callerNonce != nonce else { return refuse(.notAllowed, "a nonce is used twice") }
            phase = .answer(asked: now, incarnation: incarnation, callerNonce: callerNonce)
            let proof =
                hello.isClient
                ? [] : identity.secret?.proof(of: .called, in: context(hello, incarnation, callerNonce)) ?? []
            return .send(
                .challenge(name: identity.name, incarnation: identity.incarnation, nonce: nonce, proof: proof))
        case (.answer(let proof, let stamp, let login, let password), .answer(let asked, let incarnation, let theirs)):
            phase = .done
            guard !hello.isClient else {
                return .taken(.client, asked: asked, stamp: stamp, login: login, password: password)
            }
            if let secret = identity.secret {
                guard secret.accepts(proof, of: .caller, in: context(hello, incarnation, theirs)) else {
                    return refuse(
                        .notAllowed,
                        "\(hello.name) does not prove that it knows the cluster's secret: "
                            + "start all nodes with the same --cluster-secret",
                        about: hello.name)
                }
            }
            return .taken(
                .node(name: hello.name, incarnation: incarnation), asked: asked, stamp: stamp, login: [], password: [])
        default: return refuse(.version, "\(identity.name) did not expect that message", about: identity.name)
        }
    }

    private mutating func refuse(_ kind: Refusal.Kind, _ message: String, about names: String...) -> Step {
        phase = .done
        return .refused(Refusal(kind, message, about: names))
    }

    private func context(
        _ hello: PeerHello, _ incarnation: UInt64, _ callerNonce: [UInt8]
    ) -> ClusterSecret.Context {
        ClusterSecret.Context(
            caller: hello.name, callerIncarnation: incarnation, called: identity.name,
            calledIncarnation: identity.incarnation, epoch: identity.epoch, callerNonce: callerNonce,
            calledNonce: nonce)
    }
}
