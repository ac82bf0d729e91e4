// The peer protocol: every message survives the wire, however it is cut; broken ones are refused.

import Coordination
import Engine
import Gather
import NIOCore
import Testing

@Suite struct PeerProtocolTests {
    /// Every field another value, so that none can be mistaken for its neighbour.
    static let metaCommand: MetaCommand = {
        var command = MetaCommand(.decrement)
        command.options = [.wantsValue, .keepsAccess, .setsUnique]
        command.storeVerb = .prepend
        command.flags = 1
        (command.expiry, command.vivifyExpiry) = (Expiry(stored: 2), Expiry(stored: 3))
        command.recacheExpiry = Expiry(stored: .max)
        (command.unique, command.newUnique, command.delta, command.initial) = (4, .max, 5, 6)
        return command
    }()

    static let metaAnswer: MetaAnswer = {
        var answer = MetaAnswer()
        answer.status = .exists
        answer.facts.valueBytes = 1
        answer.facts.flags = 2
        (answer.facts.expiryBefore, answer.facts.expiry) = (Expiry(stored: 3), Expiry(stored: 4))
        (answer.facts.unique, answer.facts.idleSeconds, answer.facts.totalBytes) = (.max, 5, 6)
        (answer.facts.wasRead, answer.facts.hasWon) = (true, true)
        answer.value = [7, 13, 10]
        return answer
    }()

    static let requests: [PeerRequest] =
        [
            .item(.meta(metaCommand, value: [1, 2]), key: [5]),
            .item(.meta(MetaCommand(.inspect), value: []), key: [6]),
            .item(.get, key: Array("k".utf8)),
            .item(.getAndTouch(expiry: Expiry(stored: 77)), key: [32]),
            .item(
                .store(.cas, flags: 5, expiry: Expiry(stored: .max), cas: .max, value: [0, 13, 10, 255]),
                key: Array(repeating: 1, count: 250)),
            .item(.store(.append, flags: 0, expiry: .never, cas: 0, value: []), key: [1]),
            .item(.delete, key: [2]), .item(.touch(expiry: Expiry(stored: 1)), key: [3]),
            .item(.arithmetic(.increment, delta: .max), key: [4]), .item(.arithmetic(.decrement, delta: 0), key: [4]),
            .call(
                VirtualKey(type: "t", method: "m", object: [0], arguments: [[], [58], [1, 2]]), data: nil,
                deadlineMilliseconds: 9),
            .call(VirtualKey(type: "t", method: "m"), data: [], deadlineMilliseconds: .max),
            .call(VirtualKey(type: "t", method: "m"), data: [1], deadlineMilliseconds: 0),
            .fetch(key: Array("node:name".utf8), deadlineMilliseconds: 5, byJob: false),
            .fetch(key: Array("k".utf8), deadlineMilliseconds: 0, byJob: true),
            .map(
                MapRequest(
                    query: 1, name: "j", source: [10], parameters: .object(["a": .int(-1)]), deadlineMilliseconds: 2,
                    now: -5)),
            .map(mapWithLoads),
            .stage(
                StageRequest(
                    load: 7, frame: "f", format: .csv, header: ["a", "b"], firstLine: 3, skipsBadRows: true, bytes: [44]
                )),
            .stage(StageRequest(load: 7, frame: "f", format: .ndjson, firstLine: 1, skipsBadRows: false, bytes: [])),
        ] + ControlVerb.allCases.map { .control(verb: $0, argument: .array([.double(1.5), .null])) }

    static let replies: [PeerReply] = [
        .item(.meta(metaAnswer)), .item(.meta(MetaAnswer())),
        .item(.miss), .item(.stored), .item(.notStored), .item(.exists), .item(.notFound), .item(.deleted),
        .item(.touched),
        .item(.notANumber), .item(.tooLarge), .item(.outOfMemory), .item(.number(.max)),
        .item(.value(flags: 1, cas: 2, bytes: [3])), .item(.failed(Failure(.timeout, "late"))),
        .value(.object(["x": .bytes([255])])), .failure(Failure(.incompleteData, "grüße")),
        .mapped(
            MapAnswer(
                incarnation: .max, shards: 2, partial: [1, 2], rowsScanned: 3, chunksScanned: 4, chunksPruned: 5,
                milliseconds: 1.25,
                frames: [
                    FrameAcknowledgements(
                        frame: "f", id: DefinitionID(run: .max, number: 5), rows: ["n1": [1: 2, .max: 3], "n2": [:]])
                ])),
        .mapped(answerWithLoads),
        .failure(Failure(.scriptError, "no", about: [], stack: ["a.lua:1: in f", "called as a:b:c"])),
        .mapFailed(
            Failure(.timeout, "late", about: [.named("n1")], stack: ["x"]), LoggedLines(["a", "é"], dropped: 3)),
        .mapFailed(Failure(.miss, "none"), LoggedLines()),
    ]

    private static var mapWithLoads: MapRequest {
        var map = MapRequest(query: 1, name: "j", source: [], parameters: .null, deadlineMilliseconds: 2, now: 1)
        map.include = [0, 7, .max]
        map.counts = [
            FrameAcknowledgements(frame: "f", id: DefinitionID(run: 3, number: 5), rows: ["n1": [1: 2, .max: 3]])
        ]
        return map
    }

    private static var answerWithLoads: MapAnswer {
        var answer = MapAnswer(incarnation: 1, shards: 1)
        answer.rowsEver = 9
        answer.log = LoggedLines(["said", ""], dropped: 1)
        answer.loads = [
            "f": FrameLoads.Seen(committed: [1: 0, .max: 600_000], pending: [2, .max - 1], namedMilliseconds: 7),
            "g": FrameLoads.Seen(),
        ]
        return answer
    }

    @Test("what an answer says of loads is a number and an age, never below zero")
    func loads() {
        for bad: Value in [
            .null, .object(["named": .int(-1), "committed": .array([]), "pending": .array([])]),
            .object(["named": .int(1), "committed": .array([.int(1)]), "pending": .array([])]),
            .object(["named": .int(1), "committed": .array([.int(1), .int(-1)]), "pending": .array([])]),
            .object(["named": .int(1), "committed": .array([]), "pending": .array([.null])]),
        ] { #expect(FrameLoads.Seen(value: bad) == nil, "\(bad)") }
    }

    @Test("a node's part that took no time at all, or for ever, is not understood; whether rows were left out is")
    func times() {
        func read(_ change: (inout MapAnswer) -> Void) -> PeerReply? {
            var answer = MapAnswer(incarnation: 1, shards: 1)
            change(&answer)
            var bytes = Self.bytes { PeerReply.mapped(answer).encode(into: &$0) }
            return PeerReply(decoding: &bytes)
        }
        for milliseconds in [Double.nan, .infinity, -1, 1e300] {
            #expect(read { $0.milliseconds = milliseconds } == nil)
        }
        guard
            case .mapped(let answer)? = read({
                $0.inexactness = Inexactness(isTruncated: true, relativeErrors: ["d": 0.025])
            })
        else { return #expect(Bool(false)) }
        #expect(answer.inexactness == Inexactness(isTruncated: true, relativeErrors: ["d": 0.025]))
        for (truncated, more) in [(false, false), (false, true), (true, false), (true, true)] {
            let marks = Inexactness(isTruncated: truncated, dependsOnMore: more)
            guard case .mapped(let answer)? = read({ $0.inexactness = marks }) else { return #expect(Bool(false)) }
            #expect(answer.inexactness == marks)
        }
        // Shares that are none.
        for share in [Double.nan, .infinity, -0.1] {
            #expect(read { $0.inexactness.relativeErrors = ["d": share] } == nil)
        }
        // More rows than any cluster holds are none.
        #expect(read { $0.rowsScanned = .max } == nil)
        guard case .mapped(let most)? = read({ $0.rowsScanned = FrameAcknowledgements.rowsMax }) else {
            return #expect(Bool(false))
        }
        #expect(most.rowsScanned == FrameAcknowledgements.rowsMax)
    }

    private static func bytes(_ encode: (inout ByteBuffer) -> Void) -> ByteBuffer {
        var buffer = ByteBuffer()
        encode(&buffer)
        return buffer
    }

    @Test("every request and reply comes back from its bytes, and from none that are cut short or followed by more")
    func roundTrip() {
        for request in Self.requests {
            let whole = Self.bytes { request.encode(into: &$0) }
            var copy = whole
            #expect(PeerRequest(decoding: &copy) == request)
            for length in 0..<whole.readableBytes {
                var cut = whole.getSlice(at: 0, length: length)!
                #expect(PeerRequest(decoding: &cut) == nil)
            }
            var longer = whole
            longer.writeInteger(UInt8(0))
            #expect(PeerRequest(decoding: &longer) == nil)
        }
        for reply in Self.replies {
            let whole = Self.bytes { reply.encode(into: &$0) }
            var copy = whole
            let decoded = PeerReply(decoding: &copy)
            if case .mapped(var answer) = reply {
                // A node without a count says nothing.
                for index in answer.frames.indices { answer.frames[index].rows["n2"] = nil }
                #expect(decoded == .mapped(answer))
            } else {
                #expect(decoded == reply)
            }
            for length in 0..<whole.readableBytes {
                var cut = whole.getSlice(at: 0, length: length)!
                #expect(PeerReply(decoding: &cut) == nil)
            }
        }
    }

    @Test("frames come out the same whether bytes come one at a time, all at once, or in between")
    func framing() throws {
        var stream = ByteBuffer()
        for (id, request) in Self.requests.enumerated() {
            let isWritten = PeerFrame.write(id: UInt64(id), into: &stream) { request.encode(into: &$0) }
            #expect(isWritten)
        }
        for pieceBytes in [1, 2, 3, 7, 64, stream.readableBytes] {
            var decoder = PeerFrameDecoder()
            var left = stream
            var seen: [PeerRequest] = []
            while left.readableBytes > 0 {
                decoder.append(left.readSlice(length: min(pieceBytes, left.readableBytes))!)
                while let frame = try decoder.next() {
                    #expect(frame.id == UInt64(seen.count))
                    var message = frame.message
                    seen.append(try #require(PeerRequest(decoding: &message)))
                }
            }
            #expect(seen == Self.requests)
        }
    }

    @Test("a frame that is too long or too short to be one breaks the connection")
    func brokenFrames() {
        var decoder = PeerFrameDecoder()
        decoder.append(ByteBuffer(bytes: [255, 255, 255, 255, 0]))
        #expect(throws: PeerFrameDecoder.Broken.self) { try decoder.next() }
        var short = PeerFrameDecoder()
        short.append(ByteBuffer(bytes: [7, 0, 0, 0]))
        #expect(throws: PeerFrameDecoder.Broken.self) { try short.next() }
    }

    @Test("random bytes are no message, and crash nothing")
    func noise() {
        var generator = SeededRandom(42)
        for _ in 0..<20_000 {
            var buffer = ByteBuffer()
            for _ in 0..<Int.random(in: 0..<60, using: &generator) {
                buffer.writeInteger(UInt8.random(in: 0...255, using: &generator))
            }
            var copy = buffer
            _ = PeerRequest(decoding: &buffer)
            _ = PeerReply(decoding: &copy)
        }
    }

    @Test("the hello line says version, name and epoch")
    func hello() {
        #expect(PeerHello(name: "n1", epoch: 255).line == "peer 8 n1 ff\r\n")
        #expect(PeerHello(line: "peer 8 n1 ff") == PeerHello(name: "n1", epoch: 255))
        #expect(PeerHello(line: "peer 8 - -") == .client)
        for broken in [
            "peer 8  ff", "peer 8 n1 ff ", "peer", "peer 1 n1", "peer x n1 ff", "peer 1 n1 zz", "get 1 n1 ff",
        ] {
            #expect(PeerHello(line: broken) == nil)
        }
    }

    @Test("a reply finds its waiter once; a late one finds nobody; too many are refused")
    func pending() {
        var pending = PendingRequests<String>(countMax: 2)
        let first = pending.add(deadline: Deadline(uptimeNanoseconds: 10), "a")!
        let second = pending.add(deadline: Deadline(uptimeNanoseconds: 20), "b")!
        #expect(pending.add(deadline: .never, "c") == nil)
        #expect(pending.earliestDeadline == Deadline(uptimeNanoseconds: 10))
        #expect(pending.takeExpired(now: Deadline(uptimeNanoseconds: 10)).map(\.waiter) == ["a"])
        #expect(pending.take(first) == nil)
        #expect(pending.take(second) == "b")
        #expect(pending.take(second) == nil)
        #expect(pending.add(deadline: .never, "d")! > second)
        #expect(pending.takeAll() == ["d"])
        #expect(pending.count == 0)
    }
}
