// A peer connection's two ends as state machines under any events: the link, the handshake, the bounds, the lateness.

import Coordination
import Gather
import NIOCore

enum PeersFuzz {
    static func run(_ input: [UInt8]) -> String? {
        var choices = Choices(input)
        switch choices.byte() % 4 {
        case 0: return link(&choices)
        case 1: return greeting(&choices)
        case 2: return bounds(&choices)
        default: return frames(&choices)
        }
    }

    private static func instant(_ choices: inout Choices) -> UInt64 {
        (0..<8).reduce(0) { number, _ in number << 8 | UInt64(choices.byte()) }
    }

    /// Events in any order, with time that stands, goes and jumps.
    private static func link(_ choices: inout Choices) -> String? {
        var machine = LinkMachine()
        var now = Instant(nanoseconds: 1 << 40)
        while !choices.isEmpty {
            let byte = choices.byte()
            let events: [LinkMachine.Event] = [
                .wanted, .connected, .connectFailed(.gone), .connectFailed(.noAnswer), .welcomed, .declined, .heard,
                .unanswered(sent: Instant(nanoseconds: now.nanoseconds - UInt64(choices.byte()) << 24)), .suspected,
                .disconnected, .timer, .timer, .timer, byte == 255 ? .close : .timer,
            ]
            let effects = machine.receive(events[Int(byte) % events.count], now: now)
            if let broken = machine.brokenInvariant { return broken }
            if effects.contains(.flush), machine.phase != .up { return "sends while it is \(machine.phase)" }
            if effects.contains(.connect), machine.phase != .connecting { return "connects while \(machine.phase)" }
            now = now.adding(milliseconds: [0, 1, 10, 251, 1_001, 60_000][choices.below(6)])
        }
        return nil
    }

    private static let secret = ClusterSecret(file: [UInt8](repeating: 0x61, count: 16))

    private static func identity(_ name: String) -> PeerIdentity {
        PeerIdentity(
            name: name, incarnation: 1, epoch: 2, others: Set(["a", "b"]).subtracting([name]), secret: secret)
    }

    /// A node with a secret, and a caller that does not know it, but hears all that is said. It is never taken.
    private static func greeting(_ choices: inout Choices) -> String? {
        let nonce = [UInt8](repeating: 7, count: LinkMessage.nonceBytes)
        // In the version there is: another one is refused before anything else is looked at.
        let line = String(PeerHello(name: "a", epoch: 2).line.dropLast())
        var called = CalledGreeting(identity: identity("b"), line: line, isLoopback: true, nonce: nonce)
        guard called.refusal == nil else { return "a hello of today is refused" }
        var caller = CallerGreeting(identity: identity("a"), target: "b", nonce: [UInt8](repeating: 8, count: 16))
        var heard: [LinkMessage] = [caller.greet]
        while !choices.isEmpty {
            let message: LinkMessage?
            switch choices.byte() % 3 {
            case 0: message = heard[choices.below(heard.count)]
            case 1: message = LinkMessage((0..<choices.below(200)).map { _ in choices.byte() })
            default:
                message = .answer(
                    proof: [UInt8](repeating: choices.byte(), count: 32), stamp: 1, login: [], password: [])
            }
            guard let message else { continue }
            if LinkMessage(message.bytes) != message { return "a link message that can't be read again: \(message)" }
            if choices.byte() % 2 == 0 {
                switch called.receive(message, now: Instant(nanoseconds: 5)) {
                case .send(let answer): heard.append(answer)
                case .taken: return "taken without the secret"
                case .refused: break
                }
            } else if case .greet? = heard.first, case .challenge(_, _, let theirs, let proof) = message,
                theirs == nonce, proof.count == 32
            {
                continue  // the true challenge would get the true answer: that is no attack
            } else {
                switch caller.receive(message, stamp: 1) {
                case .send(.answer(let proof, _, _, _)): return "answers a wrong proof: \(proof)"
                case .welcomed: if heard.count < 2 { return "welcome without a challenge" }
                case .declined, .send, nil: break
                }
            }
        }
        return nil
    }

    private static func bounds(_ choices: inout Choices) -> String? {
        var estimate = LatenessEstimate()
        var allowance = ByteAllowance(.init(bytes: 1_000, untakenBytes: 2_000, requests: 8))
        var (untaken, underWay) = (0, [Int]())
        while !choices.isEmpty {
            switch choices.byte() % 5 {
            case 0:
                let asked = Instant(nanoseconds: instant(&choices))
                _ = estimate.answered(
                    stamp: instant(&choices), asked: asked, now: Instant(nanoseconds: instant(&choices)))
            case 1:
                let (stamp, left) = (instant(&choices), UInt32(truncatingIfNeeded: instant(&choices)))
                _ = estimate.due(stamp: stamp, leftMilliseconds: left)
                let rest = estimate.leftMilliseconds(
                    stamp: stamp, leftMilliseconds: left, now: Instant(nanoseconds: instant(&choices)))
                if rest > Int(left) { return "more time left than there was" }
            case 2 where allowance.mayTake(untakenBytes: untaken):
                let bytes = choices.below(3_000)
                allowance.took(requestBytes: bytes)
                underWay.append(bytes)
                if underWay.count > 8 { return "more requests than may be" }
            case 3 where !underWay.isEmpty:
                let reply = choices.below(5_000)
                if allowance.answered(requestBytes: underWay.removeLast(), replyBytes: reply, untakenBytes: untaken) {
                    if untaken > 0, untaken + reply > 2_000 { return "kept a reply beyond the limit" }
                    untaken += reply
                }
            default: untaken = max(0, untaken - choices.below(4_000))
            }
        }
        return nil
    }

    /// Requests with their headers, in pieces: what is taken is what may be.
    private static func frames(_ choices: inout Choices) -> String? {
        var decoder = PeerFrameDecoder(limits: .requests(itemBytesMax: 1 << 16))
        while !choices.isEmpty {
            decoder.append(ByteBuffer(bytes: (0..<(1 + choices.below(40))).map { _ in choices.byte() }))
            do {
                while let frame = try decoder.next() {
                    if frame.isOversized, frame.message.readableBytes > 0 { return "an oversized frame was kept" }
                    var message = frame.message
                    message.moveReaderIndex(forwardBy: min(12, message.readableBytes))
                    guard let request = try? PeerRequest.decode(&message) else { continue }
                    if case .item(_, let key) = request, !(1...250).contains(key.count) {
                        return "a key of \(key.count)"
                    }
                }
            } catch { return nil }
        }
        return nil
    }
}
