// What the two ends of a peer connection say about the connection itself: hello, proofs, pings; to bytes and back.

/// The messages of frames with the id 0. Every field has a fixed or a bounded size.
package enum LinkMessage: Sendable, Equatable {
    /// The caller, after its line: who it is, whom it wants, and what the other side is to prove itself with.
    case greet(incarnation: UInt64, target: String, nonce: [UInt8])
    /// Who was called: its name, this run of it, a nonce of its own, and its proof (empty without a secret).
    case challenge(name: String, incarnation: UInt64, nonce: [UInt8], proof: [UInt8])
    /// The caller's proof, its clock, and the name and password of a client that has them.
    case answer(proof: [UInt8], stamp: UInt64, login: [UInt8], password: [UInt8])
    case welcome
    /// Asks for a sign of life. `isHolding`: the sender reads nothing for now, on purpose.
    case ping(sent: UInt64, isHolding: Bool)
    /// Gives back what a ping said, with the clock of who answers.
    case pong(echo: UInt64, stamp: UInt64)

    package static let nonceBytes = 16
    package static let proofBytes = 32
    /// No message is longer.
    package static let bytesMax = 1_024
    private static let textBytesMax = 255

    private enum Kind {
        static let (greet, challenge, answer, welcome, ping, pong): (UInt8, UInt8, UInt8, UInt8, UInt8, UInt8) =
            (240, 241, 242, 243, 244, 245)
    }

    package var bytes: [UInt8] {
        var out: [UInt8] = []
        switch self {
        case .greet(let incarnation, let target, let nonce):
            out.append(Kind.greet)
            Self.put(incarnation, &out)
            Self.put(Array(target.utf8), &out)
            Self.put(nonce, &out)
        case .challenge(let name, let incarnation, let nonce, let proof):
            out.append(Kind.challenge)
            Self.put(Array(name.utf8), &out)
            Self.put(incarnation, &out)
            Self.put(nonce, &out)
            Self.put(proof, &out)
        case .answer(let proof, let stamp, let login, let password):
            out.append(Kind.answer)
            Self.put(proof, &out)
            Self.put(stamp, &out)
            Self.put(login, &out)
            Self.put(password, &out)
        case .welcome: out.append(Kind.welcome)
        case .ping(let sent, let isHolding):
            out.append(Kind.ping)
            Self.put(sent, &out)
            out.append(isHolding ? 1 : 0)
        case .pong(let echo, let stamp):
            out.append(Kind.pong)
            Self.put(echo, &out)
            Self.put(stamp, &out)
        }
        return out
    }

    /// Nil when the bytes are none of these messages, or more than one.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count <= Self.bytesMax, let kind = bytes.first else { return nil }
        var reader = Reader(rest: bytes.dropFirst())
        switch kind {
        case Kind.greet:
            guard let incarnation = reader.number(), let target = reader.text(), let nonce = reader.bytes(),
                nonce.count == Self.nonceBytes
            else { return nil }
            self = .greet(incarnation: incarnation, target: target, nonce: nonce)
        case Kind.challenge:
            guard let name = reader.text(), let incarnation = reader.number(), let nonce = reader.bytes(),
                nonce.count == Self.nonceBytes, let proof = reader.bytes(), Self.isProof(proof)
            else { return nil }
            self = .challenge(name: name, incarnation: incarnation, nonce: nonce, proof: proof)
        case Kind.answer:
            guard let proof = reader.bytes(), Self.isProof(proof), let stamp = reader.number(),
                let login = reader.bytes(), let password = reader.bytes()
            else { return nil }
            self = .answer(proof: proof, stamp: stamp, login: login, password: password)
        case Kind.welcome: self = .welcome
        case Kind.ping:
            guard let sent = reader.number(), let isHolding = reader.byte(), isHolding <= 1 else { return nil }
            self = .ping(sent: sent, isHolding: isHolding == 1)
        case Kind.pong:
            guard let echo = reader.number(), let stamp = reader.number() else { return nil }
            self = .pong(echo: echo, stamp: stamp)
        default: return nil
        }
        guard reader.rest.isEmpty else { return nil }
    }

    private static func isProof(_ bytes: [UInt8]) -> Bool { bytes.isEmpty || bytes.count == proofBytes }

    /// Longer texts are cut: no name, login or password that is taken anywhere is.
    private static func put(_ bytes: [UInt8], _ out: inout [UInt8]) {
        let bytes = bytes.prefix(textBytesMax)
        out.append(UInt8(bytes.count))
        out.append(contentsOf: bytes)
    }

    private static func put(_ number: UInt64, _ out: inout [UInt8]) {
        for shift in stride(from: 0, to: 64, by: 8) { out.append(UInt8(truncatingIfNeeded: number >> UInt64(shift))) }
    }

    private struct Reader {
        var rest: ArraySlice<UInt8>

        mutating func byte() -> UInt8? { rest.popFirst() }

        mutating func number() -> UInt64? {
            guard rest.count >= 8 else { return nil }
            defer { rest = rest.dropFirst(8) }
            return rest.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
        }

        mutating func bytes() -> [UInt8]? {
            guard let count = byte(), rest.count >= Int(count) else { return nil }
            defer { rest = rest.dropFirst(Int(count)) }
            return Array(rest.prefix(Int(count)))
        }

        mutating func text() -> String? { bytes().flatMap { String(validating: $0, as: UTF8.self) } }
    }
}
