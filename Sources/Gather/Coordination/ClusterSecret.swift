// The secret that nodes share, and the proofs that they know it.

import Crypto

/// What `--cluster-secret FILE` holds.
package struct ClusterSecret: Sendable {
    package static let bytesMin = 16
    private let key: SymmetricKey

    /// The first line of the file, without its end. Nil when it is shorter than 16 bytes.
    package init?(file: [UInt8]) {
        var line = file.prefix { $0 != 0x0A }
        if line.last == 0x0D { line.removeLast() }
        guard line.count >= Self.bytesMin else { return nil }
        key = SymmetricKey(data: Array(line))
    }

    /// What both sides agree on when one has called the other: part of every proof, so that none is worth anything on
    /// another connection, to another node, or in the other direction.
    package struct Context: Sendable, Equatable {
        package var caller: String
        package var callerIncarnation: UInt64
        package var called: String
        package var calledIncarnation: UInt64
        package var epoch: UInt64
        package var callerNonce: [UInt8]
        package var calledNonce: [UInt8]

        package init(
            caller: String, callerIncarnation: UInt64, called: String, calledIncarnation: UInt64, epoch: UInt64,
            callerNonce: [UInt8], calledNonce: [UInt8]
        ) {
            self.caller = caller
            self.callerIncarnation = callerIncarnation
            self.called = called
            self.calledIncarnation = calledIncarnation
            self.epoch = epoch
            self.callerNonce = callerNonce
            self.calledNonce = calledNonce
        }

        fileprivate func message(_ direction: Direction) -> [UInt8] {
            var out = Array("cacheismo peer \(PeerHello.version) \(direction.rawValue)".utf8)
            func put(_ bytes: some Collection<UInt8>) {
                // Lengths before texts: no two contexts have the same message.
                out += [UInt8(truncatingIfNeeded: bytes.count), UInt8(truncatingIfNeeded: bytes.count >> 8)]
                out += bytes
            }
            put(caller.utf8)
            put(called.utf8)
            for number in [callerIncarnation, calledIncarnation, epoch] {
                put((0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * UInt64($0))) })
            }
            put(callerNonce)
            put(calledNonce)
            return out
        }
    }

    /// Who proves itself.
    package enum Direction: String, Sendable { case caller, called }

    package func proof(of direction: Direction, in context: Context) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: context.message(direction), using: key))
    }

    /// Takes as long wherever a wrong proof differs.
    package func accepts(_ proof: [UInt8], of direction: Direction, in context: Context) -> Bool {
        HMAC<SHA256>.isValidAuthenticationCode(proof, authenticating: context.message(direction), using: key)
    }
}
