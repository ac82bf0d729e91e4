// What a peer connection may hold, what a request may say, who may ask what, and whose word about rows counts.

import Coordination
import Engine
import Gather
import Logging
import NIOCore
import Testing

@Suite struct PeerBoundsTests {
    // MARK: Bytes

    @Test("replies that nobody takes stop the reading, and beyond the limit are not kept")
    func untaken() {
        var allowance = ByteAllowance(.init(bytes: 64 << 20, untakenBytes: 64 << 20, requests: 16_384))
        var untaken = 0
        var asked = 0
        while allowance.mayTake(untakenBytes: untaken), asked < 4_000 {
            allowance.took(requestBytes: 30)
            asked += 1
            if allowance.answered(requestBytes: 30, replyBytes: 1 << 20, untakenBytes: untaken) { untaken += 1 << 20 }
        }
        #expect(asked <= 65 && untaken <= 64 << 20)
        // All asked before the first answer came: what has no room is let go.
        allowance = ByteAllowance(.init(bytes: 64 << 20, untakenBytes: 64 << 20, requests: 16_384))
        (untaken, asked) = (0, 0)
        while allowance.mayTake(untakenBytes: 0) {
            allowance.took(requestBytes: 30)
            asked += 1
        }
        #expect((1_000...16_384).contains(asked))
        var kept = 0
        for _ in 0..<asked where allowance.answered(requestBytes: 30, replyBytes: 8 << 20, untakenBytes: untaken) {
            untaken += 8 << 20
            kept += 1
        }
        #expect(kept == 8 && allowance.requests == 0 && allowance.requestBytes == 0)
    }

    @Test("one answer is always kept, however large, and so is one request taken on when nothing is under way")
    func alone() {
        var allowance = ByteAllowance(.init(bytes: 1_000, untakenBytes: 1_000, requests: 10))
        #expect(allowance.mayTake(untakenBytes: 0))
        allowance.took(requestBytes: 5_000)
        #expect(!allowance.mayTake(untakenBytes: 0))
        let isKept = allowance.answered(requestBytes: 5_000, replyBytes: 1 << 27, untakenBytes: 0)
        #expect(isKept)
        #expect(allowance.mayTake(untakenBytes: 0))
    }

    @Test("large answers that came before hold up no request beside those that take long")
    func slowOnes() {
        var allowance = ByteAllowance(.init(bytes: 64 << 20, untakenBytes: 64 << 20, requests: 16_384))
        allowance.took(requestBytes: 100)
        let isKept = allowance.answered(requestBytes: 100, replyBytes: 60 << 20, untakenBytes: 0)
        #expect(isKept)
        for _ in 0..<60 {
            #expect(allowance.mayTake(untakenBytes: 0))
            allowance.took(requestBytes: 100)
        }
        #expect(!allowance.mayTake(untakenBytes: 64 << 20))
    }

    @Test("all connections together stop at the node's limit, and none is starved")
    func budget() {
        let budget = PeerByteBudget(bytesMax: 10 << 20)
        var (first, second) = (0, 0)
        budget.replace(&first, with: 10 << 20)
        #expect(!budget.hasRoom(besides: first) && budget.hasRoom(besides: second) && !budget.isExceeded)
        budget.replace(&second, with: 6 << 20)
        #expect(budget.isExceeded && !budget.hasRoom(besides: second))
        budget.replace(&first, with: 0)
        budget.replace(&second, with: 0)
        #expect(budget.heldBytes == 0 && budget.hasRoom(besides: 1 << 20))
    }

    private static func frame(id: UInt64, _ message: [UInt8]) -> ByteBuffer {
        var buffer = ByteBuffer()
        _ = PeerFrame.write(id: id, into: &buffer) { buffer in
            buffer.writeBytes([UInt8](repeating: 0, count: RequestHead.bytes))
            buffer.writeBytes(message)
        }
        return buffer
    }

    @Test("a request that is larger than its kind may be is passed over without being kept, and the next one is read")
    func oversized() throws {
        var stream = Self.frame(id: 7, [3] + [UInt8](repeating: 1, count: 100_000))
        stream.writeImmutableBuffer(Self.frame(id: 8, [3, 1]))
        stream.writeImmutableBuffer(Self.frame(id: 9, [1] + [UInt8](repeating: 1, count: 1 << 20)))
        stream.writeImmutableBuffer(Self.frame(id: 10, [4] + [UInt8](repeating: 1, count: 1 << 20)))
        for piece in [1_000, 7_777, stream.readableBytes] {
            var decoder = PeerFrameDecoder(limits: .requests(itemBytesMax: 1 << 19))
            var left = stream
            var seen: [(UInt64, Bool)] = []
            var heldMax = 0
            while left.readableBytes > 0 {
                decoder.append(left.readSlice(length: min(piece, left.readableBytes))!)
                while let frame = try decoder.next() { seen.append((frame.id, frame.isOversized)) }
                if seen.count < 3 { heldMax = max(heldMax, decoder.heldBytes) }
            }
            #expect(seen.map(\.0) == [7, 8, 9, 10] && seen.map(\.1) == [true, false, true, false])
            if piece < 10_000 { #expect(heldMax < 20_000) }
        }
    }

    @Test("before it is known who calls, no frame is larger than a greeting may be")
    func greetingFrames() {
        var decoder = PeerFrameDecoder(limits: .greeting)
        var buffer = ByteBuffer()
        buffer.writeInteger(UInt32(1 << 20), endianness: .little)
        decoder.append(buffer)
        #expect(throws: PeerFrameDecoder.Broken.self) { try decoder.next() }
    }

    // MARK: Requests

    private static func decoded(_ request: PeerRequest) -> Result<PeerRequest, Failure> {
        var buffer = ByteBuffer()
        request.encode(into: &buffer)
        do throws(Failure) { return .success(try PeerRequest.decode(&buffer)) } catch { return .failure(error) }
    }

    private static func isTaken(_ request: PeerRequest) -> Bool {
        if case .success = decoded(request) { true } else { false }
    }

    @Test("keys of 1 to 250 bytes are taken, of items, of methods and of what a node is to answer as its own")
    func keys() {
        for (count, isTaken) in [(0, false), (1, true), (250, true), (251, false), (256, false), (65_536, false)] {
            let key = [UInt8](repeating: 107, count: count)
            #expect(Self.isTaken(.item(.get, key: key)) == isTaken)
            #expect(
                Self.isTaken(.item(.store(.set, flags: 0, expiry: .never, cas: 0, value: [1]), key: key)) == isTaken)
            #expect(Self.isTaken(.item(.arithmetic(.increment, delta: 1), key: key)) == isTaken)
            #expect(Self.isTaken(.item(.meta(MetaCommand(.inspect), value: []), key: key)) == isTaken)
            #expect(Self.isTaken(.fetch(key: key, deadlineMilliseconds: 1, byJob: false)) == isTaken)
        }
        func call(_ type: String, _ method: String, _ object: Int, _ arguments: [Int] = []) -> PeerRequest {
            .call(
                VirtualKey(
                    type: type, method: method, object: [UInt8](repeating: 1, count: object),
                    arguments: arguments.map { [UInt8](repeating: 2, count: $0) }),
                data: nil, deadlineMilliseconds: 1)
        }
        #expect(Self.isTaken(call("quota", "new", 240)))
        #expect(!Self.isTaken(call("quota", "new", 241)))
        #expect(Self.isTaken(call("t", "m", 0, [100, 100])))
        #expect(!Self.isTaken(call("t", "m", 0, [200, 100])))
        #expect(!Self.isTaken(call("t", "m", 1, [Int](repeating: 0, count: 251))))
        for name in ["", "a:b", "a b", "\u{0}", "ü"] {
            #expect(!Self.isTaken(call(name, "m", 1)) && !Self.isTaken(call("t", name, 1)))
        }
        #expect(!Self.isTaken(call(String(repeating: "t", count: 256), "m", 1)))
    }

    @Test("names, line numbers and times that can't be are refused, with a reason")
    func numbers() {
        func stage(_ frame: String, _ line: UInt64) -> PeerRequest {
            .stage(
                StageRequest(load: 1, frame: frame, format: .ndjson, firstLine: line, skipsBadRows: false, bytes: []))
        }
        func map(_ name: String, _ now: Int64) -> PeerRequest {
            .map(MapRequest(query: 1, name: name, source: [], parameters: .null, deadlineMilliseconds: 1, now: now))
        }
        #expect(Self.isTaken(stage("f", 1 << 53)) && Self.isTaken(map("j", 1 << 53)) && Self.isTaken(map("j", -5)))
        for line in [UInt64.max, (1 << 53) + 1, 1 << 63] as [UInt64] { #expect(!Self.isTaken(stage("f", line))) }
        for now in [Int64.max, .max - 1, .min + 1, (1 << 53) + 1] as [Int64] { #expect(!Self.isTaken(map("j", now))) }
        for name in ["", String(repeating: "n", count: 256)] {
            #expect(!Self.isTaken(stage(name, 1)) && !Self.isTaken(map(name, 1)))
            for verb in ControlVerb.allCases {
                #expect(!Self.isTaken(.control(verb: verb, argument: .object(["name": .string(name)]))))
            }
        }
        guard case .failure(let failure) = Self.decoded(.item(.get, key: [UInt8](repeating: 1, count: 256))) else {
            Issue.record("taken")
            return
        }
        #expect(failure.reason == .scriptError && failure.message.contains("256"))
    }

    @Test("a value has no more parts than may be, however few bytes they are written in, at any depth")
    func parts() {
        #expect(Value(messagePack: [0x93, 0xC0, 0xC0, 0xC0], partsMax: 3) != nil)
        #expect(Value(messagePack: [0x93, 0xC0, 0xC0, 0xC0], partsMax: 2) == nil)
        #expect(Value(messagePack: [0x81, 0x01, 0x02], partsMax: 2) != nil)
        #expect(Value(messagePack: [0x81, 0x01, 0x02], partsMax: 1) == nil)
        #expect(Value(messagePack: [0x91, 0x91, 0x91, 0xC0], partsMax: 3) != nil)
        #expect(Value(messagePack: [0x91, 0x91, 0x91, 0xC0], partsMax: 2) == nil)
        let million = Value.array([Value](repeating: .null, count: 1 << 20))
        for verb in ControlVerb.allCases where verb != .synchronize {
            #expect(!Self.isTaken(.control(verb: verb, argument: million)))
        }
        #expect(Self.isTaken(.control(verb: .synchronize, argument: million)))
        // Sixty arrays in each other, each of which claims to have as many elements as there are bytes.
        var nested: [UInt8] = []
        for _ in 0..<60 { nested += [0xDD, 0x00, 0x0F, 0x00, 0x00] }
        #expect(Value(messagePack: nested + [UInt8](repeating: 0xC0, count: 1 << 20), partsMax: 1 << 20) == nil)
    }

    @Test("an answer about rows that can't be is none")
    func answers() {
        func isTaken(_ change: (inout MapAnswer) -> Void) -> Bool {
            var answer = MapAnswer(
                incarnation: 1, shards: 2, rowsScanned: 3,
                frames: [
                    FrameAcknowledgements(
                        frame: "f", id: DefinitionID(run: 1, number: 1), rows: ["n1": [1: 3]],
                        retired: ["n1": [1: 2]])
                ])
            change(&answer)
            var buffer = ByteBuffer()
            PeerReply.mapped(answer).encode(into: &buffer)
            return PeerReply(decoding: &buffer) != nil
        }
        #expect(isTaken { _ in })
        #expect(!isTaken { $0.rowsScanned = .max })
        #expect(!isTaken { $0.chunksScanned = (1 << 48) + 1 })
        #expect(!isTaken { $0.shards = 0 } && !isTaken { $0.shards = 1_000_000 })
        for milliseconds in [Double.nan, .infinity, -1] { #expect(!isTaken { $0.milliseconds = milliseconds }) }
        for (rows, retired) in [(Int.max, 0), (3, 4), (3, Int.max), ((1 << 48) + 1, 0)] {
            let isTaken = isTaken { answer in
                answer.frames[0].rows = ["n1": [1: rows]]
                answer.frames[0].retired = ["n1": [1: retired]]
            }
            #expect(!isTaken, "\(rows) \(retired)")
        }
    }

    // MARK: Roles

    private static func argument(_ verb: ControlVerb) -> PeerRequest { .control(verb: verb, argument: .null) }

    @Test("clients ask what clients may, nodes what nodes may, and neither the other's")
    func roles() {
        let map = PeerRequest.map(
            MapRequest(query: 1, name: "j", source: [], parameters: .null, deadlineMilliseconds: 1, now: 0))
        let stage = PeerRequest.stage(
            StageRequest(load: 1, frame: "f", format: .csv, firstLine: 1, skipsBadRows: false, bytes: []))
        let call = PeerRequest.call(VirtualKey(type: "t", method: "m"), data: nil, deadlineMilliseconds: 1)
        let fetch = PeerRequest.fetch(key: [1], deadlineMilliseconds: 1, byJob: false)
        let nested = PeerRequest.fetch(key: [1], deadlineMilliseconds: 1, byJob: true)
        let node = Counterpart.node(name: "n2", incarnation: 1)
        let (open, plain) = (ClientAccess(), ClientAccess(allowsVirtualKeys: false))
        func may(_ request: PeerRequest, _ who: Counterpart, _ access: ClientAccess) -> Bool {
            request.refusal(for: who, access) == nil
        }
        for request in [.item(.get, key: [1]), call, map, nested] {
            #expect(!may(request, .client, open) && may(request, node, open))
        }
        #expect(may(stage, .client, open) && may(stage, node, open) && !may(stage, .client, plain))
        #expect(may(fetch, .client, plain) && may(fetch, node, plain))
        let peers: Set<ControlVerb> = [
            .synchronize, .createFrame, .frameStatistics, .flush, .beginLoad, .prepareLoad, .decideLoad, .askLoad,
            .report,
        ]
        let clients: Set<ControlVerb> = [
            .topology, .status, .store, .createFrame, .beginLoad, .commitLoad, .abortLoad, .runJob, .listJobs,
            .jobProgress,
            .cancelJob, .explainJob, .activity, .describeJob, .whereabouts,
        ]
        for verb in ControlVerb.allCases {
            #expect(may(Self.argument(verb), node, open) == peers.contains(verb), "\(verb)")
            #expect(may(Self.argument(verb), .client, open) == clients.contains(verb), "\(verb)")
            let isPlain = [.topology, .status, .store, .activity, .whereabouts].contains(verb)
            #expect(may(Self.argument(verb), .client, plain) == isPlain, "\(verb)")
        }
    }

    // MARK: Whose word counts

    private static let belief = Belief(
        speaker: .node(name: "n2", incarnation: 20), selfName: "n1", selfIncarnation: 10, nodes: ["n1", "n2", "n3"],
        living: ["n2": 20, "n3": 30])

    private static func said(
        _ node: String, _ incarnation: UInt64, _ rows: Int, retired: Int = 0
    ) -> FrameAcknowledgements {
        FrameAcknowledgements(
            frame: "f", id: DefinitionID(run: 1, number: 1), rows: [node: [incarnation: rows]],
            retired: retired > 0 ? [node: [incarnation: retired]] : [:])
    }

    @Test("a node is believed of itself; of others only that a run that is over had rows, never that they are gone")
    func believed() {
        func believes(_ node: String, _ incarnation: UInt64, _ rows: Int, _ retired: Int = 0) -> FrameAcknowledgements?
        {
            Self.belief.restricted(Self.said(node, incarnation, rows, retired: retired))
        }
        #expect(believes("n2", 20, 5, 4) == Self.said("n2", 20, 5, retired: 4))
        let nothing = FrameAcknowledgements(frame: "f", id: DefinitionID(run: 1, number: 1))
        #expect(believes("n3", 30, 5, 5) == nothing, "n3 is there and speaks for itself")
        #expect(believes("n1", 10, 99) == nothing, "this node knows best what it has")
        #expect(believes("n3", 29, 5, 5) == Self.said("n3", 29, 5), "the rows of a run that is over, but not their end")
        #expect(believes("n1", 9, 5, 5) == Self.said("n1", 9, 5))
        #expect(believes("n2", 19, 5, 5) == Self.said("n2", 19, 5), "even of its own earlier run")
        #expect(believes("n9", 1, 5) == nil, "a node that is in no list")
        for (rows, retired) in [(Int.max, 0), (-1, 0), (5, 6), (5, .max), ((1 << 48) + 1, 0)] {
            #expect(believes("n2", 20, rows, retired) == nil)
        }
    }

    @Test("what one answer says of a run that is over counts when a later run has answered, whichever came first")
    func believedOfAnswers() {
        let identity = PeerIdentity(name: "n1", incarnation: 10, epoch: 1, others: ["n2", "n3"])
        let statuses = ["n2", "n3"].map { PeerStatus(name: $0, address: "", logger: Logger(label: "test")) }
        let answers: [(speaker: NodeRun, said: [FrameAcknowledgements])] = [
            (NodeRun(name: "n2", incarnation: 20), [Self.said("n3", 29, 5)]),
            (NodeRun(name: "n3", incarnation: 30), [Self.said("n3", 30, 2)]),
        ]
        // The connection to n3 was lost, and its new run was met after n2 had answered.
        for order in [answers, answers.reversed()] {
            let believed = Belief.ofAnswers(order, identity: identity, statuses: statuses)
            #expect(believed.contains(Self.said("n3", 29, 5)) && believed.contains(Self.said("n3", 30, 2)))
        }
        let alive = [answers[0], (NodeRun(name: "n3", incarnation: 29), [])]
        #expect(
            Belief.ofAnswers(alive, identity: identity, statuses: statuses).allSatisfy { $0.isEmpty },
            "it speaks for itself")
    }

    @Test("news with one impossible count is not believed at all; else each count by its speaker")
    func synchronisation() throws {
        var registry = Registry(run: 1)
        let made = registry.createFrame("f", schema: [])
        let id = try #require(made)
        registry.acknowledge(100, retired: 100, frame: id, node: "n3", incarnation: 30)
        registry.acknowledge(7, retired: 7, frame: id, node: "n3", incarnation: 29)
        registry.acknowledge(8, retired: 2, frame: id, node: "n2", incarnation: 20)
        let believed = try #require(Self.belief.restricted(registry.everything)?.acknowledged.first)
        #expect(believed.rows == ["n3": [29: 7], "n2": [20: 8]] && believed.retired == ["n2": [20: 2]])
        registry.acknowledge(.max, frame: id, node: "n2", incarnation: 20)
        #expect(Self.belief.restricted(registry.everything) == nil)
    }

    // MARK: The log

    @Test("what happens to a peer is said once: lost, back, refused; not what an older connection finds out later")
    func presence() {
        var presence = PeerPresence()
        let (first, second) = (Instant(nanoseconds: 1), Instant(nanoseconds: 2))
        let events: [(PeerPresence.Event, PeerPresence.Report?)] = [
            (.lost(since: nil, message: "refused"), .notReached("refused")),
            (.lost(since: nil, message: "refused"), nil),
            (.up(now: first), .reached),
            (.up(now: first), nil),  // a second loop's link
            (.lost(since: first, message: "closed"), .lost("closed")),
            (.lost(since: first, message: "closed"), nil),  // the second loop's link
            (.up(now: second), .back),
            (.lost(since: first, message: "silent"), nil),  // an older connection of a node that is back
            (.refused(message: "list"), .refused("list")),
            (.refused(message: "list"), nil),
            (.refused(message: "secret"), .refused("secret")),
            (.up(now: second), .back),
        ]
        for (event, expected) in events {
            let report = presence.receive(event)
            #expect(report == expected, "\(event)")
        }
        #expect(presence.state == .up)
    }

    @Test(
        "peers on other machines want a secret, or somebody's word that nobody else is there",
        arguments: [
            ("127.0.0.1", true), ("127.3.2.1", true), ("localhost", true), ("::1", true), ("10.0.0.1", false),
            ("0.0.0.0", false), ("n2.example", false), ("::2", false), ("128.0.0.1", false),
        ])
    func beyondLoopback(_ host: String, _ isLoopback: Bool) throws {
        #expect(PeerSecurity.isLoopback(host: host) == isLoopback)
        let address = host.contains(":") ? "[\(host)]" : host
        let topology = try Topology(peers: "n1=127.0.0.1:1,n2=\(address):2", selfName: "n1")
        if isLoopback {
            try PeerSecurity().check(topology)
        } else {
            #expect(throws: Failure.self) { try PeerSecurity().check(topology) }
        }
        try PeerSecurity(trustsAnyAddress: true).check(topology)
        try PeerSecurity(secret: ClusterSecret(file: [UInt8](repeating: 65, count: 16))).check(topology)
    }
}
