// The handshake of two nodes, without a socket: who is taken, who is refused and why, and what an attacker gains.

import Coordination
import Testing

@Suite struct GreetingTests {
    private static let secret = ClusterSecret(file: Array("correct horse battery staple\nmore".utf8))!
    private static let otherSecret = ClusterSecret(file: Array("correct horse battery stapler".utf8))!
    private static let now = Instant(nanoseconds: 5_000_000_000)

    private static func identity(
        _ name: String, epoch: UInt64 = 7, secret: ClusterSecret? = nil, others: Set<String> = ["n1", "n2", "n3"],
        trusts: Bool = false
    ) -> PeerIdentity {
        PeerIdentity(
            name: name, incarnation: UInt64(name.utf8.last!) * 1_000, epoch: epoch, others: others.subtracting([name]),
            secret: secret, trustsAnyAddress: trusts)
    }

    private static func nonce(_ seed: UInt8) -> [UInt8] { [UInt8](repeating: seed, count: LinkMessage.nonceBytes) }

    private enum Outcome: Equatable {
        case taken(Counterpart, callerSees: Counterpart)
        case refused(Refusal.Kind, String)
        case declined(Refusal.Kind, String)
    }

    /// Runs both ends against each other to their end.
    private static func meet(
        _ caller: PeerIdentity, target: String = "n2", _ called: PeerIdentity, isLoopback: Bool = true
    ) throws -> Outcome {
        var calling = CallerGreeting(identity: caller, target: target, nonce: nonce(1))
        let line = calling.hello.line.filter { !$0.isNewline }
        var answering = CalledGreeting(identity: called, line: line, isLoopback: isLoopback, nonce: nonce(2))
        let challenge: LinkMessage
        switch answering.receive(try wire(calling.greet), now: now) {
        case .send(let message): challenge = message
        case .refused(let why): return .refused(why.kind, why.message)
        case .taken: throw Unexpected()
        }
        switch calling.receive(try wire(challenge), stamp: 9) {
        case .declined(let why): return .declined(why.kind, why.message)
        case .send(let answer):
            switch answering.receive(try wire(answer), now: now) {
            case .refused(let why): return .refused(why.kind, why.message)
            case .taken(let counterpart, let asked, let stamp, _, _):
                #expect(asked == now && stamp == 9)
                guard case .welcomed(let seen) = calling.receive(.welcome, stamp: 10) else { throw Unexpected() }
                return .taken(counterpart, callerSees: seen)
            case .send: throw Unexpected()
            }
        default: throw Unexpected()
        }
    }

    private struct Unexpected: Error {}

    private static func wire(_ message: LinkMessage) throws -> LinkMessage {
        try #require(LinkMessage(message.bytes))
    }

    private static func kind(_ outcome: Outcome) -> Refusal.Kind? {
        switch outcome {
        case .taken: nil
        case .refused(let kind, _), .declined(let kind, _): kind
        }
    }

    @Test("two nodes of one cluster take each other, with the same secret or on one machine without any")
    func taken() throws {
        let expected = Outcome.taken(
            .node(name: "n1", incarnation: 49_000), callerSees: .node(name: "n2", incarnation: 50_000))
        #expect(try Self.meet(Self.identity("n1"), Self.identity("n2")) == expected)
        let (first, second) = (Self.identity("n1", secret: Self.secret), Self.identity("n2", secret: Self.secret))
        #expect(try Self.meet(first, second) == expected)
        #expect(try Self.meet(first, second, isLoopback: false) == expected)
        let trusting = Self.identity("n2", trusts: true)
        #expect(try Self.meet(Self.identity("n1"), trusting, isLoopback: false) == expected)
    }

    @Test(
        "another peer list, an unknown or a wrong name, another machine, a missing or another secret: each is refused")
    func refused() throws {
        let n2 = Self.identity("n2")
        #expect(Self.kind(try Self.meet(Self.identity("n1", epoch: 8), n2)) == .otherList)
        #expect(Self.kind(try Self.meet(Self.identity("n9"), n2)) == .otherList)
        #expect(Self.kind(try Self.meet(n2, n2)) == .otherList, "a node that calls itself as the one it calls")
        #expect(Self.kind(try Self.meet(Self.identity("n1"), target: "n3", n2)) == .otherList)
        #expect(Self.kind(try Self.meet(Self.identity("n1"), Self.identity("n2", others: ["n2"]))) == .otherList)
        #expect(Self.kind(try Self.meet(Self.identity("n1"), n2, isLoopback: false)) == .notAllowed)
        let knowing = Self.identity("n2", secret: Self.secret)
        #expect(Self.kind(try Self.meet(Self.identity("n1"), knowing)) == .notAllowed)
        #expect(Self.kind(try Self.meet(Self.identity("n1", secret: Self.otherSecret), knowing)) == .notAllowed)
        // The caller declines first: who is called has to prove itself before the caller says anything.
        guard case .declined = try Self.meet(Self.identity("n1", secret: Self.secret), n2) else { throw Unexpected() }
        guard case .declined = try Self.meet(Self.identity("n1", secret: Self.otherSecret), knowing) else {
            throw Unexpected()
        }
    }

    @Test("an older or a newer version is told which version is spoken")
    func versions() {
        for line in ["peer 4 n1 7", "peer 3 - -", "peer 9 n1 7", "peer x", "peer 9 n1"] {
            let called = CalledGreeting(
                identity: Self.identity("n2"), line: line, isLoopback: true, nonce: Self.nonce(2))
            #expect(called.refusal?.kind == .version)
            #expect(called.refusal?.message.contains("n2 speaks peer version 8") == true)
        }
    }

    @Test("what was recorded of one connection opens no other, and nothing that a node says opens itself")
    func replayAndReflection() throws {
        let (n1, n2) = (Self.identity("n1", secret: Self.secret), Self.identity("n2", secret: Self.secret))
        var caller = CallerGreeting(identity: n1, target: "n2", nonce: Self.nonce(1))
        let line = caller.hello.line.filter { !$0.isNewline }
        var first = CalledGreeting(identity: n2, line: line, isLoopback: false, nonce: Self.nonce(2))
        guard case .send(let challenge) = first.receive(caller.greet, now: Self.now),
            case .challenge(_, _, _, let proofOfCalled) = challenge,
            case .send(let answer) = caller.receive(challenge, stamp: 1)
        else { throw Unexpected() }
        guard case .answer(let proofOfCaller, _, _, _) = answer else { throw Unexpected() }
        // The same answer to a challenge with another nonce.
        var second = CalledGreeting(identity: n2, line: line, isLoopback: false, nonce: Self.nonce(3))
        _ = second.receive(caller.greet, now: Self.now)
        guard case .refused(let why) = second.receive(answer, now: Self.now) else { throw Unexpected() }
        #expect(why.kind == .notAllowed)
        // The challenge's own proof, given back.
        var third = CalledGreeting(identity: n2, line: line, isLoopback: false, nonce: Self.nonce(2))
        _ = third.receive(caller.greet, now: Self.now)
        let reflected = LinkMessage.answer(proof: proofOfCalled, stamp: 1, login: [], password: [])
        guard case .refused = third.receive(reflected, now: Self.now) else { throw Unexpected() }
        // Its own nonce, given back.
        var fourth = CalledGreeting(identity: n2, line: line, isLoopback: false, nonce: Self.nonce(2))
        guard
            case .refused = fourth.receive(
                .greet(incarnation: 1, target: "n2", nonce: Self.nonce(2)), now: Self.now)
        else { throw Unexpected() }
        #expect(proofOfCaller != proofOfCalled)
        // The answer before the challenge, and twice.
        var fifth = CalledGreeting(identity: n2, line: line, isLoopback: false, nonce: Self.nonce(2))
        guard case .refused = fifth.receive(answer, now: Self.now) else { throw Unexpected() }
        guard case .refused = fifth.receive(caller.greet, now: Self.now) else { throw Unexpected() }
    }

    @Test("a listener at a dead node's address gets a name, an epoch and a nonce, and no proof")
    func listener() throws {
        let n1 = Self.identity("n1", secret: Self.secret)
        var caller = CallerGreeting(identity: n1, target: "n2", nonce: Self.nonce(1))
        for proof in [[], [UInt8](repeating: 0, count: 32)] {
            var copy = caller
            let lie = LinkMessage.challenge(name: "n2", incarnation: 5, nonce: Self.nonce(4), proof: proof)
            guard case .declined = copy.receive(lie, stamp: 1) else { throw Unexpected() }
        }
        // A proof that another node gave, as itself, to the same nonce.
        let n3 = Self.identity("n3", secret: Self.secret)
        var third = CalledGreeting(identity: n3, line: "peer 8 n1 7", isLoopback: false, nonce: Self.nonce(4))
        guard
            case .send(.challenge(_, let incarnation, let nonce, let proof)) = third.receive(
                .greet(incarnation: n1.incarnation, target: "n3", nonce: Self.nonce(1)), now: Self.now)
        else { throw Unexpected() }
        let borrowed = LinkMessage.challenge(name: "n2", incarnation: incarnation, nonce: nonce, proof: proof)
        guard case .declined = caller.receive(borrowed, stamp: 1) else { throw Unexpected() }
        // A welcome without a challenge means nothing.
        var fresh = CallerGreeting(identity: n1, target: "n2", nonce: Self.nonce(1))
        let step = fresh.receive(.welcome, stamp: 1)
        #expect(step == nil)
    }

    @Test(
        "a secret has 16 bytes in its first line, whatever ends it",
        arguments: [
            ("", false), ("\n", false), ("0123456789abcde", false), ("0123456789abcde\n0123456789abcdef", false),
            ("0123456789abcdef", true), ("0123456789abcdef\r\nx", true),
        ])
    func secrets(_ file: String, _ isSecret: Bool) {
        #expect((ClusterSecret(file: Array(file.utf8)) != nil) == isSecret)
    }

    @Test("a command is a client: it proves nothing, and brings its name and password")
    func client() throws {
        var caller = CallerGreeting(login: Array("ann".utf8), password: Array("pw".utf8), nonce: Self.nonce(1))
        #expect(caller.hello == .client)
        let n2 = Self.identity("n2", secret: Self.secret)
        var called = CalledGreeting(identity: n2, line: "peer 8 - -", isLoopback: false, nonce: Self.nonce(2))
        guard case .send(let challenge) = called.receive(caller.greet, now: Self.now),
            case .challenge(_, _, _, let proof) = challenge
        else { throw Unexpected() }
        #expect(proof.isEmpty, "a client is proved nothing: it could not tell")
        guard case .send(let answer) = caller.receive(challenge, stamp: 3),
            case .taken(.client, _, 3, let login, let password) = called.receive(answer, now: Self.now)
        else { throw Unexpected() }
        #expect(login == Array("ann".utf8) && password == Array("pw".utf8))
    }

    @Test("link messages come back from their bytes, and from no others")
    func codec() {
        let messages: [LinkMessage] = [
            .greet(incarnation: .max, target: "n2", nonce: Self.nonce(9)),
            .challenge(name: "n1", incarnation: 0, nonce: Self.nonce(8), proof: [UInt8](repeating: 3, count: 32)),
            .challenge(name: "", incarnation: 1, nonce: Self.nonce(8), proof: []),
            .answer(proof: [], stamp: .max, login: [1, 2], password: [UInt8](repeating: 255, count: 255)), .welcome,
            .ping(sent: 1, isHolding: true), .ping(sent: .max, isHolding: false), .pong(echo: 1, stamp: 2),
        ]
        for message in messages {
            let bytes = message.bytes
            #expect(LinkMessage(bytes) == message)
            for count in 0..<bytes.count { #expect(LinkMessage(Array(bytes[..<count])) == nil) }
            #expect(LinkMessage(bytes + [0]) == nil)
        }
        #expect(LinkMessage([UInt8](repeating: 240, count: 2_000)) == nil)
        var generator = SeededRandom(3)
        for _ in 0..<20_000 {
            let count = Int.random(in: 0..<80, using: &generator)
            var bytes = (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
            if !bytes.isEmpty { bytes[0] = 240 + bytes[0] % 8 }
            if let message = LinkMessage(bytes) { #expect(LinkMessage(message.bytes) == message) }
        }
    }
}
