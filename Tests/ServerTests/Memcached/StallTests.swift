// What stops for want of room goes on by itself once there is room, whichever answers come first and whichever at once: a client that
// waits for an answer sends nothing that could wake it.

import Engine
import Foundation
import Gather
import Server
import Testing

@Suite struct StallTests {
    /// Answers what was asked for, a few at a time and in any order, until nothing is pending.
    private static func settle(
        _ harness: SessionHarness<ScriptedRouter>, _ router: ScriptedRouter, _ random: inout SeededRandom
    ) {
        var open: [Int] = []
        var known = 0
        while true {
            let pending = router.pending
            open += known..<pending.count
            known = pending.count
            guard !open.isEmpty else { return }
            for _ in 0..<min(open.count, 1 + random.below(4)) {
                let index = open.remove(at: random.below(open.count))
                let asked = pending[index]
                if asked.item != nil {
                    router.answer(index, .value(flags: 0, cas: 1, bytes: asked.key))
                } else {
                    router.answer(index, .success(.bytes(asked.key)))
                }
            }
            harness.collect()
        }
    }

    /// Own keys, those of a node that answers, of one that is gone, and methods.
    private static func key(_ random: inout SeededRandom) -> String {
        let number = random.below(50)
        return switch random.below(8) {
        case 0...1: "own\(number)"
        case 2...3: "r:there\(number)"
        case 4...6: "r:gone\(number)"
        default: "v:m:\(number)"
        }
    }

    @Test("a get of many keys ends without another byte from its client", arguments: 0..<40)
    func retrievals(seed: UInt64) {
        var random = SeededRandom(seed)
        for verb in ["get", "gets", "gat 100"] {
            var configuration = SessionConfiguration()
            configuration.answerBytesMax = [4 << 20, 1 << 20, 256 << 10, 1][random.below(4)]
            if random.below(2) == 0 { configuration.pendingMax = 1 + random.below(20) }
            let router = ScriptedRouter()
            let harness = SessionHarness(router, configuration)
            harness.send("set own1 0 0 1\r\nx\r\n")
            _ = harness.answer()
            let requests = (0..<1 + random.below(3)).map { _ in
                "\(verb) " + (0..<2 + random.below(300)).map { _ in Self.key(&random) }.joined(separator: " ") + "\r\n"
            }
            harness.send(requests.joined(), pieceBytes: random.below(2) == 0 ? .max : 1 + random.below(2_000))
            Self.settle(harness, router, &random)
            let answer = harness.answer()
            #expect(answer.components(separatedBy: "END\r\n").count - 1 == requests.count, "\(verb), seed \(seed)")
            #expect(harness.session.isSettled && harness.session.verdict == .open, "\(verb), seed \(seed)")
        }
    }

    @Test("so do single commands, and requests of the binary protocol", arguments: 0..<40)
    func singles(seed: UInt64) throws {
        var random = SeededRandom(seed)
        for isBinary in [false, true] {
            var configuration = SessionConfiguration()
            configuration.answerBytesMax = [1 << 20, 256 << 10, 1][random.below(3)]
            if random.below(2) == 0 { configuration.pendingMax = 1 + random.below(20) }
            let router = ScriptedRouter()
            let harness = SessionHarness(router, configuration)
            let keys = (0..<300).map { _ in Self.key(&random) }
            if isBinary {
                harness.send(keys.flatMap { BinaryPacket.ask(0x0C, $0).bytes } + BinaryPacket.ask(0x0A).bytes)
            } else {
                harness.send(keys.map { "mg \($0) v k\r\n" }.joined() + "mn\r\n")
            }
            Self.settle(harness, router, &random)
            if isBinary {
                let answers = try #require(BinaryPacket.answers(harness.answerBytes()))
                #expect(answers.count == keys.count + 1 && answers.last == .answer(0x0A), "seed \(seed)")
            } else {
                #expect(harness.answer().hasSuffix("MN\r\n"), "seed \(seed)")
            }
            #expect(harness.session.isSettled && harness.session.verdict == .open, "seed \(seed)")
        }
    }
}
