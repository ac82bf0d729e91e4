// Bytes into a session: cut differently they give the same answers, which are well-formed, and one for each command.

import Engine
import Gather
import Synchronization

#if !FUZZING
    import Server
#endif

enum SessionFuzz {
    /// The first byte says how: an odd one makes known commands of the rest, and counts the answers. Otherwise the rest is
    /// what a client sends. From 128 on values may be large enough to be sent from where they lie. With 64 in it the client speaks
    /// the binary protocol. The second byte is a seed for the cuts, and for how much the client takes of the answers at a time.
    static func run(_ input: [UInt8]) -> String? {
        var choices = Choices(input)
        let mode = choices.byte()
        var random = SeededRandom(UInt64(choices.byte()))
        let hasLargeValues = mode >= 128
        let isBinary = mode & 64 != 0
        var script = Script(hasLargeValues: hasLargeValues)
        if mode & 1 == 0 {
            script.bytes = (isBinary ? [0x80] : []) + choices.rest()
        } else if isBinary {
            script.makeBinary(&choices)
        } else {
            script.make(&choices)
        }
        let whole = Conversation(hasLargeValues: hasLargeValues)
        whole.send(script.bytes[...])
        whole.finish()
        if let problem = isBinary
            ? BinaryGrammar.problem(whole.received, of: script.bytes) : ReplyGrammar.problem(whole.received)
        {
            return problem
        }
        if mode & 1 == 1, !isBinary, ReplyGrammar.count(whole.received) != script.replies {
            return "\(ReplyGrammar.count(whole.received)) answers to \(script.replies) commands"
        }
        // Times and counts of bytes depend on the cuts.
        if isBinary ? BinaryGrammar.asksForStatistics(script.bytes) : contains(script.bytes, "stats") { return nil }
        let cut = Conversation(hasLargeValues: hasLargeValues)
        var rest = script.bytes[...]
        // Large values byte by byte would take seconds.
        let pieceBytesMax = [1, 2, 7, 64, 700][Int(mode >> 1) % 5] * (hasLargeValues ? 64 : 1)
        while !rest.isEmpty {
            let count = min(rest.count, 1 + random.below(pieceBytesMax))
            cut.send(
                rest.prefix(count), isDelayed: random.below(4) == 0,
                taking: random.below(3) == 0 ? random.below(30_000) : nil)
            rest = rest.dropFirst(count)
        }
        cut.finish()
        return cut.received == whole.received ? nil : "the answers depend on how the input is cut"
    }

    private static func contains(_ bytes: [UInt8], _ word: String) -> Bool {
        let word = Array(word.utf8)
        guard bytes.count >= word.count else { return false }
        return (0...(bytes.count - word.count)).contains { bytes[$0..<($0 + word.count)].elementsEqual(word) }
    }
}

/// Commands of which it is known how many answers they get.
private struct Script {
    let hasLargeValues: Bool
    var bytes: [UInt8] = []
    var replies = 0

    init(hasLargeValues: Bool) { self.hasLargeValues = hasLargeValues }

    mutating func make(_ choices: inout Choices) {
        while !choices.isEmpty, replies < 400, bytes.count < 1 << 20 { command(&choices) }
    }

    private mutating func command(_ choices: inout Choices) {
        let key = ["a", "bb", "r:x", "v:m:o", "key-\(choices.below(40))"][choices.below(5)]
        let value = value(&choices)
        let silent = choices.below(4) == 0
        let noreply = silent ? " noreply" : ""
        switch choices.below(12) {
        case 0: add("get \(key) a \(key)\r\n")
        case 1: add("gets \(key)\r\n")
        case 2: add("gat \(choices.below(3) - 1) \(key) bb\r\n")
        case 3, 4:
            let verb = ["set", "add", "replace", "append", "prepend"][choices.below(5)]
            add("\(verb) \(key) \(choices.byte()) \(choices.below(4) - 1) \(value.count)\(noreply)\r\n", value, silent)
        case 5: add("cas \(key) 0 0 \(value.count) \(choices.below(60))\(noreply)\r\n", value, silent)
        case 6: add("\(choices.below(2) == 0 ? "incr" : "decr") \(key) \(choices.byte())\(noreply)\r\n", nil, silent)
        case 7: add("delete \(key)\(noreply)\r\n", nil, silent)
        case 8: add("mg \(key) v t f c s k\(choices.below(2) == 0 ? " T9" : " N9 R30")\r\n")
        case 9:
            add(
                "ms \(key) \(value.count) T\(choices.byte()) M\(["S", "E", "A", "R", "P"][choices.below(5)])\r\n", value
            )
        case 10: add("ma \(key) N0 J\(choices.byte()) D2 v\r\n")
        default:
            let lines = [
                "mn\r\n", "md \(key) I T9\r\n", "touch \(key) 9\r\n", "version\r\n", "lru_crawler metadump all\r\n",
                "lru_crawler mgdump hash\r\n",
            ]
            let line = lines[choices.below(lines.count)]
            add(line)
            // Before a list of keys comes an OK.
            if line.hasPrefix("lru_crawler") { replies += 1 }
        }
    }

    /// Requests of the binary protocol, some of them with a header that lies.
    mutating func makeBinary(_ choices: inout Choices) {
        var count: UInt32 = 0
        while !choices.isEmpty, count < 400, bytes.count < 1 << 20 {
            count += 1
            binaryRequest(&choices, opaque: count)
        }
    }

    private mutating func binaryRequest(_ choices: inout Choices, opaque: UInt32) {
        let key = Array(["a", "bb", "r:x", "v:m:o", "key-\(choices.below(40))"][choices.below(5)].utf8)
        // Of those that are known, but for quit, which would end most scripts early.
        let opcodes: [UInt8] = [
            0x00, 0x09, 0x0C, 0x0D, 0x01, 0x11, 0x02, 0x12, 0x03, 0x13, 0x04, 0x14, 0x05, 0x15, 0x06, 0x16, 0x08, 0x18,
            0x0A, 0x0B,
            0x0E, 0x19, 0x0F, 0x1A, 0x10, 0x1C, 0x1D, 0x1E, 0x23, 0x24, 0x20, 0x21, 0x22, 0x17, 0x50,
        ]
        let opcode = opcodes[choices.below(opcodes.count)]
        var (extras, value): ([UInt8], [UInt8]) = ([], [])
        switch opcode {
        case 0x01...0x03, 0x11...0x13:
            extras = [0, 0, 0, choices.byte(), 0, 0, 0, UInt8(choices.below(3))]
            value = self.value(&choices)
        case 0x0E, 0x0F, 0x19, 0x1A, 0x21, 0x22: value = self.value(&choices)
        case 0x05, 0x06, 0x15, 0x16:
            extras = [UInt8](repeating: 0, count: 20)
            (extras[7], extras[15]) = (choices.byte(), choices.byte())
            if choices.below(2) == 0 { extras.replaceSubrange(16..., with: [255, 255, 255, 255]) }
        case 0x1C...0x1E, 0x23, 0x24: extras = [0, 0, 0, UInt8(choices.below(3))]
        default: break
        }
        let hasKey = ![0x08, 0x18, 0x0A, 0x0B, 0x10, 0x20, 0x17, 0x50].contains(opcode)
        let keyBytes = hasKey ? key : []
        let body = UInt32(extras.count + keyBytes.count + value.count)
        var header: [UInt8] = [0x80, opcode, 0, UInt8(keyBytes.count), UInt8(extras.count), 0, 0, 0]
        header += big(body) + big(opaque) + [0, 0, 0, 0, 0, 0, 0, choices.below(6) == 0 ? choices.byte() : 0]
        // Any byte of it, now and then, but for the one that says which protocol it is.
        if choices.below(30) == 0 { header[bytes.isEmpty ? 1 : choices.below(12)] = choices.byte() }
        bytes += header + extras + keyBytes + value
    }

    private func big(_ number: UInt32) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

    /// A large one is made of few bytes of the input, and does not compress.
    private func value(_ choices: inout Choices) -> [UInt8] {
        if hasLargeValues, choices.below(2) == 0 {
            var random = SeededRandom(UInt64(choices.byte()))
            // From 16 KiB on they are not copied.
            let count = (16 << 10) - 8 + choices.below(1 << 14)
            return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        }
        return (0..<choices.below(choices.below(8) == 0 ? 3000 : 30)).map { _ in choices.byte() }
    }

    private mutating func add(_ line: String, _ block: [UInt8]? = nil, _ silent: Bool = false) {
        bytes += Array(line.utf8)
        if let block { bytes += block + [0x0D, 0x0A] }
        if !silent { replies += 1 }
    }
}

/// One session with an empty store of its own.
private final class Conversation {
    private let router: FuzzRouter
    private let session: MemcachedSession<FuzzRouter>
    private(set) var received: [UInt8] = []
    private let now: UInt32 = 1_000_000_000

    init(hasLargeValues: Bool) {
        var configuration = SessionConfiguration()
        configuration.itemBytesMax = hasLargeValues ? 30_000 : 4096
        // Room for all that a script can store, as what is evicted may depend on the cuts.
        router = FuzzRouter(
            ItemStoreConfiguration(
                memoryBytes: hasLargeValues ? 32 << 20 : 2 << 20, itemBytesMax: configuration.itemBytesMax))
        configuration.outputBytesHigh = 8192
        configuration.pendingMax = 8
        configuration.queuedBytesMax = 16 << 10
        configuration.retrievalLineBytesMax = 8192
        let statistics = MemcachedStatistics()
        session = MemcachedSession(
            router: router, links: nil, configuration: configuration, statistics: statistics,
            counters: statistics.makeCounters(), wake: {})
    }

    private var hasEnded: Bool { session.verdict != .open && session.verdict != .stalled }

    /// `isDelayed`: answers from elsewhere come only with a later piece. `taking`: so many bytes of what is answered are
    /// taken at first, as by a client that is slow to read; the rest before the next piece is sent.
    func send(_ bytes: ArraySlice<UInt8>, isDelayed: Bool = false, taking: Int? = nil) {
        settle(answers: false)
        guard !hasEnded else { return }
        bytes.withUnsafeBytes { session.receive($0, now: now) }
        if let taking {
            take(atMost: taking)
            session.settleOutput()
            if !isDelayed, router.answerAll() { session.collect(now: now) }
        } else {
            settle(answers: !isDelayed)
        }
    }

    func finish() { settle(answers: true) }

    private func take(atMost count: Int = .max) {
        let output = session.output
        var left = min(count, output.count)
        let taken = left
        for piece in [output.head, output.value, output.tail] {
            received.append(contentsOf: piece.prefix(left))
            left -= min(left, piece.count)
        }
        session.didSend(taken)
    }

    private func settle(answers: Bool) {
        var goesOn = true
        while goesOn {
            let isAnswered = answers && router.answerAll()
            if isAnswered { session.collect(now: now) }
            take()
            let wasStalled = session.verdict == .stalled
            if wasStalled { session.resume(now: now) }
            goesOn =
                isAnswered || session.outputBytes > 0 || (wasStalled && session.verdict == .open)
                || (answers && router.owesAnswers)
        }
    }
}

/// Keys that start with `r:` are another node's, with `v:` a method's; their answers wait for `answerAll`, last one first.
private final class FuzzRouter: CommandRouter {
    let stores: ItemStores
    private let waiting = Mutex<[@Sendable () -> Void]>([])

    init(_ configuration: ItemStoreConfiguration) { stores = ItemStores([ItemStore(configuration)]) }

    func route(_ key: UnsafeRawBufferPointer, virtual: Bool) -> Router.Route {
        if key.count > 2, key[0] == UInt8(ascii: "r"), key[1] == UInt8(ascii: ":") {
            return .remote(Place(node: 0, partition: 0))
        }
        if virtual, key.count > 2, key[0] == UInt8(ascii: "v"), let virtualKey = VirtualKey(key) {
            return .virtual(virtualKey)
        }
        return .local(hash: keyHash(key))
    }

    func send(_ batch: ForwardBatch, links: PeerLinks?) {
        batch.forEachItem { index, command, key in forward(command, key: key) { batch.answer(index, $0) } }
    }

    private func forward(_ command: ItemCommand, key: [UInt8], completion: @escaping ItemCompletion) {
        // What a node would answer: by the length of the key, a hit or a failure.
        let answer: ItemOutcome =
            switch command {
            case .get, .getAndTouch:
                key.count % 3 == 0 ? .value(flags: 7, cas: 9, bytes: key) : key.count % 3 == 1 ? .miss : Self.failure
            case .meta(let command, _):
                command.verb == .set || key.count % 2 == 0 ? Self.answer(to: command, key) : Self.failure
            default: key.count % 2 == 0 ? .stored : Self.failure
            }
        waiting.withLock { $0.append { completion(answer) } }
    }

    private static func answer(to command: MetaCommand, _ key: [UInt8]) -> ItemOutcome {
        var answer = MetaAnswer()
        answer.status = MetaStatus.allCases[key.count % MetaStatus.allCases.count]
        if command.options.contains(.wantsValue), answer.status == .found { answer.value = [0x37] }
        return .meta(answer)
    }

    private static let failure = ItemOutcome.failed(Failure(.unreachable, "nobody is there"))

    func call(_ key: VirtualKey, data: [UInt8]?, links: PeerLinks?, completion: @escaping CallCompletion) {
        let object = key.object
        waiting.withLock {
            $0.append {
                completion(object.count % 2 == 0 ? .failure(Failure(.scriptError, "no")) : .success(.bytes(object)))
            }
        }
    }

    func holdsBack(_ key: VirtualKey) -> Bool { key.object.count > 3 }

    var owesAnswers: Bool { waiting.withLock { !$0.isEmpty } }

    /// True when there were some.
    func answerAll() -> Bool {
        let answers = waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
        for answer in answers.reversed() { answer() }
        return !answers.isEmpty
    }
}
