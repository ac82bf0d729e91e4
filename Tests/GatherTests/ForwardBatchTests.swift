// Commands forwarded in one message: done as they would be one by one, answered each once, and nothing that comes is trusted.

import Engine
import Gather
import Logging
import NIOCore
import Synchronization
import Testing

@Suite struct ForwardBatchTests {
    /// What came back, by the number that its command was tagged with.
    private final class Sink: ForwardSink {
        struct State {
            var answers: [UInt64: [ItemOutcome]] = [:]
            var failures: [Failure] = []
        }
        let state = Mutex(State())

        func post(_ answers: ForwardAnswers, to batch: ForwardBatch) {
            state.withLock { state in
                switch answers {
                case .failure(let failure): state.failures.append(failure)
                case .some(let bytes, let first):
                    ForwardAnswer.forEach(bytes) { index, at in
                        state.answers[batch.tags[index - first], default: []].append(
                            ForwardAnswer.outcome(bytes, at: at))
                    }
                }
            }
        }
    }

    private static func node(_ names: [String] = ["n1", "n2"]) throws -> ClusterNode {
        let peers = names.enumerated().map { "\($1)=127.0.0.1:\(11_211 + $0)" }.joined(separator: ",")
        let cluster = Cluster(
            EngineConfiguration(memoryBytes: 32 << 20), topology: try Topology(peers: peers, selfName: "n1"), loops: [],
            logger: Logger(label: "test"))
        return ClusterNode(cluster: cluster)
    }

    private static func isOwn(_ key: String, _ node: ClusterNode) -> Bool {
        Array(key.utf8).withUnsafeBytes { node.cluster.view.isLocal(node.cluster.view.place(of: $0)) }
    }

    private static func key(_ number: Int) -> String { "key:\(number)" }

    private static func with<R>(_ text: String, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        Array(text.utf8).withUnsafeBytes { body($0) }
    }

    /// Runs all of a batch, in as many goes as `perGo` answers a go take; the answers, each command's own.
    private static func carryOut(
        _ bytes: ByteBuffer, on node: ClusterNode, perGo: Int = .max, due: Deadline = .never
    ) -> (answers: [UInt8], progress: ForwardedProgress, goes: Int) {
        var batch = ForwardedBatch(id: 1, bytes: bytes, due: due)
        var answers: [UInt8] = []
        var goes = 0
        while true {
            goes += 1
            var left = perGo
            var buffer = ByteBuffer()
            let progress = node.carryOut(
                &batch, into: &buffer,
                mayGoOn: { _ in
                    left -= 1
                    return left >= 0
                }, defers: { _ in }, later: { _, _, _ in })
            answers += Array(buffer.readableBytesView)
            guard progress == .paused else { return (answers, progress, goes) }
        }
    }

    private static func outcomes(_ answers: [UInt8]) -> [Int: [ItemOutcome]] {
        var found: [Int: [ItemOutcome]] = [:]
        ForwardAnswer.forEach(answers) { found[$0, default: []].append(ForwardAnswer.outcome(answers, at: $1)) }
        return found
    }

    @Test(
        "commands of any kind do what they do one by one, in their order, in one go or many",
        arguments: [1, 3, Int.max])
    func sameAsAlone(perGo: Int) throws {
        let node = try Self.node()
        let model = Engine(EngineConfiguration(memoryBytes: 32 << 20))
        var random = SeededRandom(7)
        for _ in 0..<40 {
            let batch = ForwardBatch(node: 1, sink: Sink())
            var expected: [ItemOutcome] = []
            for tag in 0..<UInt64(1 + random.below(100)) {
                let name = Self.key(random.below(30))
                let value = [UInt8](repeating: UInt8(random.below(256)), count: random.below(300))
                let commands: [ItemCommand] = [
                    .get, .store(.set, flags: 3, expiry: .never, cas: 0, value: value), .delete,
                    .store(.append, flags: 0, expiry: .never, cas: 0, value: value),
                    .store(.set, flags: 0, expiry: .never, cas: 0, value: Array("\(random.below(99))".utf8)),
                    .arithmetic(.increment, delta: 5), .touch(expiry: .never), .getAndTouch(expiry: .never),
                ]
                let command = commands[random.below(commands.count)]
                Self.with(name) { key in
                    switch command {
                    case .get: _ = batch.add(get: key, in: Ring.partition(of: key), tag: tag)
                    case .store(.set, let flags, let expiry, _, let value):
                        value.withUnsafeBytes {
                            batch.add(
                                set: key, in: Ring.partition(of: key), flags: flags, expiry: expiry, value: $0, tag: tag
                            )
                        }
                    default: _ = batch.add(command, key: key, in: Ring.partition(of: key), tag: tag)
                    }
                    let hash = keyHash(key)
                    let outcome =
                        Self.isOwn(name, node)
                        ? model.stores[hash].execute(command, key: key, hash: hash, now: unixSeconds())
                        : .failed(Failure(.wrongEpoch, ""))
                    expected.append(outcome)
                }
            }
            let (answers, progress, goes) = Self.carryOut(batch.bytes, on: node, perGo: perGo)
            #expect(progress == .done)
            #expect(perGo == .max ? goes == 1 : goes >= expected.count / perGo)
            let found = Self.outcomes(answers)
            #expect(found.count == expected.count && found.values.allSatisfy { $0.count == 1 })
            for (index, outcome) in expected.enumerated() {
                switch (found[index]?.first, outcome) {
                case (.failed(let failure)?, .failed(let other)): #expect(failure.reason == other.reason)
                case (.value(let flags, _, let bytes)?, .value(let otherFlags, _, let otherBytes)):
                    #expect(flags == otherFlags && bytes == otherBytes)
                case (let answer, _): #expect(answer == outcome)
                }
            }
        }
    }

    @Test("what comes too late is not done, and neither is what is behind something that can't be read")
    func lateAndMalformed() throws {
        let node = try Self.node(["n1"])
        let batch = ForwardBatch(node: 1, sink: Sink())
        Self.with("a") { batch.add(set: $0, in: 5, flags: 0, expiry: .never, value: $0, tag: 0) }
        let late = Self.carryOut(batch.bytes, on: node, due: .after(milliseconds: 0))
        #expect(late.progress == .late && late.answers.isEmpty)
        for start in [
            [9, 1, 0, 0, 97], [1, 0, 0, 0], [1, 251, 0, 0] + [UInt8](repeating: 97, count: 251), [0], [5, 1, 0, 0, 97],
            [1, 1, 0, 64, 97],
        ] as [[UInt8]] {
            var bytes = ByteBuffer(bytes: start)
            bytes.writeImmutableBuffer(batch.bytes)
            #expect(Self.carryOut(bytes, on: node).progress == .malformed)
        }
        for end in [[1, 5, 0, 0, 97], [2, 1, 0, 0, 97, 0], [3, 1, 0, 0, 97, 9, 0, 0, 0], [2], [1, 1, 0]] as [[UInt8]] {
            #expect(Self.carryOut(ByteBuffer(bytes: end), on: node).progress == .malformed)
        }
        let miss = ForwardBatch(node: 1, sink: Sink())
        Self.with("a") { _ = miss.add(get: $0, in: 5, tag: 0) }
        #expect(Self.outcomes(Self.carryOut(miss.bytes, on: node).answers) == [0: [.miss]])
        var bytes = ByteBuffer()
        for _ in 0...ForwardBatch.commandsMax { bytes.writeBytes([1, 1, 0, 0, 97]) }
        #expect(Self.carryOut(bytes, on: node).progress == .malformed)
    }

    @Test("no bytes of a batch, nor of answers, end a node or an asker", arguments: 0..<20)
    func anyBytes(seed: UInt64) throws {
        let node = try Self.node(["n1"])
        var random = SeededRandom(seed)
        for _ in 0..<200 {
            let batch = ForwardBatch(node: 1, sink: Sink())
            for tag in 0..<UInt64(1 + random.below(20)) {
                Self.with(Self.key(random.below(9))) { key in
                    switch random.below(4) {
                    case 0: _ = batch.add(get: key, in: Ring.partition(of: key), tag: tag)
                    case 1:
                        batch.add(set: key, in: Ring.partition(of: key), flags: 1, expiry: .never, value: key, tag: tag)
                    case 2: _ = batch.add(.arithmetic(.decrement, delta: 2), key: key, in: 5, tag: tag)
                    default:
                        let call = VirtualKey(type: "map", method: "get", object: Array(key), arguments: [])
                        batch.add(call, in: 5, data: nil, tag: tag)
                    }
                }
            }
            var bytes = batch.bytes
            for _ in 0..<random.below(4) {
                bytes.setInteger(UInt8(random.below(256)), at: random.below(bytes.writerIndex))
            }
            if random.below(3) == 0 { bytes.moveWriterIndex(to: random.below(bytes.writerIndex)) }
            var answers = Self.carryOut(bytes, on: node).answers
            for _ in 0..<random.below(4) where !answers.isEmpty {
                answers[random.below(answers.count)] = UInt8(random.below(256))
            }
            ForwardAnswer.forEach(answers) { _, at in
                _ = ForwardAnswer.outcome(answers, at: at)
                _ = ForwardAnswer.result(answers, at: at)
            }
        }
    }

    @Test("a batch is closed by its bytes or its commands, but for a single large one")
    func limits() {
        let batch = ForwardBatch(node: 1, sink: Sink())
        #expect(!batch.isFull(for: 1 << 20))
        let value = [UInt8](repeating: 1, count: 40 << 10)
        Self.with("a") { key in
            value.withUnsafeBytes {
                batch.add(set: key, in: Ring.partition(of: key), flags: 0, expiry: .never, value: $0, tag: 1)
            }
        }
        #expect(!batch.isFull(for: 10) && batch.isFull(for: 40 << 10))
        let gets = ForwardBatch(node: 1, sink: Sink())
        for tag in 0..<UInt64(ForwardBatch.commandsMax) {
            #expect(!gets.isFull(for: 0))
            Self.with("a") { _ = gets.add(get: $0, in: 5, tag: tag) }
        }
        #expect(gets.isFull(for: 0))
    }

    @Test("batches that leave together are carried out as one, and each hears of its own commands", arguments: 0..<20)
    func joined(seed: UInt64) throws {
        let node = try Self.node(["n1"])
        var random = SeededRandom(seed)
        let sinks = (0..<1 + random.below(6)).map { _ in Sink() }
        var batches: [ForwardBatch] = []
        var bytes = ByteBuffer()
        for (number, sink) in sinks.enumerated() {
            let batch = ForwardBatch(node: 1, sink: sink)
            for tag in 0..<UInt64(1 + random.below(40)) {
                Self.with("\(number):\(tag)") { key in
                    let partition = Ring.partition(of: key)
                    if random.below(3) == 0 {
                        batch.add(set: key, in: partition, flags: 1, expiry: .never, value: key, tag: tag)
                    } else {
                        _ = batch.add(get: key, in: partition, tag: tag)
                    }
                }
            }
            batches.append(batch)
            bytes.writeImmutableBuffer(batch.bytes)
        }
        let joined = JoinedBatches(batches[0])
        for batch in batches.dropFirst() {
            #expect(joined.hasRoom(for: batch))
            joined.append(batch)
        }
        let whole = Self.carryOut(bytes, on: node)
        #expect(whole.progress == .done)
        // In any order and in messages of any size, as the answers of methods come.
        var answers: [[UInt8]] = []
        whole.answers.withUnsafeBytes { all in
            ForwardAnswer.forEach(whole.answers) { _, at in
                let bytes = 7 + Int(all.loadUnaligned(fromByteOffset: at + 3, as: UInt32.self))
                answers.append(Array(all[at..<at + bytes]))
            }
        }
        let count = answers.count
        for at in answers.indices.dropFirst() where random.below(4) == 0 { answers.swapAt(at, at - 1) }
        var isDone: Bool? = false
        while !answers.isEmpty {
            #expect(isDone == false)
            let message = Array(answers.prefix(1 + random.below(30)))
            answers.removeFirst(message.count)
            let joinedMessage = message.flatMap { $0 }
            isDone = joinedMessage.withUnsafeBytes { joined.take($0) }
            // Nothing is answered twice, nor to a command that there isn't.
            #expect(joinedMessage.withUnsafeBytes { joined.take($0) } == nil)
        }
        #expect(isDone == true)
        #expect([UInt8(count & 255), UInt8(count >> 8), 3, 0, 0, 0, 0].withUnsafeBytes { joined.take($0) } == nil)
        for (sink, batch) in zip(sinks, batches) {
            let alone = Self.outcomes(Self.carryOut(batch.bytes, on: try Self.node(["n1"])).answers)
            let heard = sink.state.withLock { $0.answers }
            #expect(Set(heard.keys) == Set(batch.tags) && heard.values.allSatisfy { $0.count == 1 })
            for (index, tag) in batch.tags.enumerated() { #expect(heard[tag] == alone[index]) }
        }
        joined.fail(Failure(.timeout, ""))
        #expect(sinks.allSatisfy { $0.state.withLock(\.failures.count) == 1 })
    }

    @Test("a message takes no more batches than its owner takes commands and bytes")
    func joinedLimits() {
        func batch(_ count: Int, valueBytes: Int = 0) -> ForwardBatch {
            let batch = ForwardBatch(node: 1, sink: Sink())
            let value = [UInt8](repeating: 1, count: valueBytes)
            for tag in 0..<UInt64(count) {
                Self.with("a") { key in
                    value.withUnsafeBytes {
                        batch.add(set: key, in: 5, flags: 0, expiry: .never, value: $0, tag: tag)
                    }
                }
            }
            return batch
        }
        let joined = JoinedBatches(batch(ForwardBatch.commandsMax - 2))
        #expect(!joined.hasRoom(for: batch(3)) && joined.hasRoom(for: batch(2)))
        joined.append(batch(2))
        #expect(!joined.hasRoom(for: batch(1)))
        let large = JoinedBatches(batch(1, valueBytes: 40 << 10))
        #expect(
            !large.hasRoom(for: batch(1, valueBytes: 30 << 10)) && large.hasRoom(for: batch(1, valueBytes: 20 << 10)))
        #expect(!JoinedBatches(batch(1, valueBytes: 1 << 20)).hasRoom(for: batch(1)))
    }
}
