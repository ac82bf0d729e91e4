// A node's end of a peer connection, fed by hand: what is asked in another view of the nodes is not done, nor is half a batch.

import Coordination
import Engine
import Gather
import Logging
import NIOCore
import Testing

@Suite struct PeerServerTests {
    /// A loop whose time stands still and whose errands run when they are told to.
    private final class StillLoop: PeerLoop, @unchecked Sendable {
        var errands: [@Sendable () -> Void] = []
        let now = Instant(nanoseconds: SystemEnvironment().uptimeNanoseconds)
        var isCurrent: Bool { true }

        func execute(_ errand: @escaping @Sendable () -> Void) { errands.append(errand) }
        func afterTurn(_ errand: @escaping @Sendable () -> Void) { errands.append(errand) }
        func schedule(afterMilliseconds: Int, _ errand: @escaping @Sendable () -> Void) -> PeerTimer { PeerTimer {} }
        func connect(
            host: String, port: Int, milliseconds: Int, user: any PeerChannelUser,
            made: @escaping @Sendable (Result<any PeerChannel, PeerConnectFailure>) -> Void
        ) {}

        func run() {
            while !errands.isEmpty { errands.removeFirst()() }
        }
    }

    private final class Recorder: PeerChannel, @unchecked Sendable {
        let still = StillLoop()
        var sent = ByteBuffer()
        var isClosed = false
        var loop: any PeerLoop { still }
        let isLoopback = true
        let host = "127.0.0.1"
        let place = "a test"
        let isWritable = true
        let unsentBytes = 0

        func send(_ bytes: inout ByteBuffer) {
            sent.writeBuffer(&bytes)
            bytes.clear()
        }
        func setReading(_ reads: Bool) {}
        func close() { isClosed = true }
    }

    private final class Nobody: ForwardSink {
        func post(_ answers: ForwardAnswers, to batch: ForwardBatch) {}
    }

    /// A node, and a connection to it on which its peer has proved who it is.
    private struct Visit {
        let node: ClusterNode
        let peerView: TopologyView
        let channel = Recorder()
        private let server: PeerServer
        private var decoder = PeerFrameDecoder()

        init() throws {
            let peers = "n1=127.0.0.1:11211,n2=127.0.0.1:11212"
            node = ClusterNode(
                cluster: Cluster(
                    EngineConfiguration(memoryBytes: 32 << 20), topology: try Topology(peers: peers, selfName: "n1"),
                    loops: [], logger: Logger(label: "test")))
            peerView = TopologyView(try Topology(peers: peers, selfName: "n2"))
            let identity = PeerSecurity().identity(topology: peerView.topology, incarnation: 77)
            var greeting = CallerGreeting(
                identity: identity, target: "n1", nonce: [UInt8](repeating: 1, count: LinkMessage.nonceBytes))
            server = node.peerServer(hello: greeting.hello.line.filter { !$0.isNewline }, on: channel)
            var bytes = ByteBuffer()
            bytes.write(link: greeting.greet)
            receive(bytes)
            let challenge = try #require(LinkMessage(Array(try frame().message.readableBytesView)))
            guard case .send(let answer) = greeting.receive(challenge, stamp: channel.still.now.nanoseconds) else {
                throw Unexpected()
            }
            bytes.clear()
            bytes.write(link: answer)
            receive(bytes)
            #expect(LinkMessage(Array(try frame().message.readableBytesView)) == .welcome)
        }

        func receive(_ bytes: ByteBuffer) {
            bytes.withUnsafeReadableBytes { server.received($0) }
            channel.still.run()
        }

        func end() {
            server.ended(nil)
            channel.still.run()
        }

        mutating func frame() throws -> PeerFrame {
            decoder.append(channel.sent)
            channel.sent.clear()
            while let frame = try decoder.next() {
                let isPing = LinkMessage(Array(frame.message.readableBytesView)).map {
                    if case .ping = $0 { true } else { false }
                }
                if frame.id != PeerFrame.linkID || isPing != true { return frame }
            }
            throw Unexpected()
        }

        /// A request as it comes over the wire.
        func request(_ id: UInt64, epoch: UInt64? = nil, _ encode: (inout ByteBuffer) -> Void) -> ByteBuffer {
            var bytes = ByteBuffer()
            _ = PeerFrame.write(id: id, into: &bytes) { bytes in
                bytes.writeInteger(channel.still.now.nanoseconds, endianness: .little)
                bytes.writeInteger(UInt32(10_000), endianness: .little)
                bytes.writeInteger(epoch ?? peerView.epoch, endianness: .little)
                encode(&bytes)
            }
            return bytes
        }

        func batch(_ id: UInt64, epoch: UInt64? = nil, _ batch: ForwardBatch) -> ByteBuffer {
            request(id, epoch: epoch) { bytes in
                bytes.writeInteger(UInt8(7))
                bytes.writeImmutableBuffer(batch.bytes)
            }
        }

        /// Keys of this node, or of the peer.
        func keys(ofPeer: Bool) -> [String] {
            (0..<40).map { "key:\($0)" }.filter { key in
                Array(key.utf8).withUnsafeBytes { peerView.isLocal(peerView.place(of: $0)) } == ofPeer
            }
        }

        func sets(_ keys: [String]) -> ForwardBatch {
            let batch = ForwardBatch(node: 0, sink: Nobody())
            for (tag, key) in keys.enumerated() {
                Array(key.utf8).withUnsafeBytes {
                    batch.add(
                        set: $0, in: Ring.partition(of: $0), flags: 0, expiry: .never, value: $0, tag: UInt64(tag))
                }
            }
            return batch
        }

        func holds(_ key: String) -> Bool {
            Array(key.utf8).withUnsafeBytes { key in
                let hash = node.cluster.engine.configuration.placement.hash(of: key)
                return node.cluster.engine.stores[hash].execute(.get, key: key, hash: hash, now: unixSeconds()) != .miss
            }
        }
    }

    private struct Unexpected: Error {}

    private static func failure(_ frame: PeerFrame) -> Failure? {
        var message = frame.message
        guard case .failure(let failure)? = PeerReply(decoding: &message) else { return nil }
        return failure
    }

    @Test("what is asked in another view of the nodes is refused by its reason, and not done")
    func otherEpoch() throws {
        var visit = try Visit()
        let keys = visit.keys(ofPeer: false)
        visit.receive(visit.batch(5, epoch: visit.peerView.epoch ^ 1, visit.sets(keys)))
        let refused = try visit.frame()
        #expect(refused.id == 5 && Self.failure(refused)?.reason == .wrongEpoch)
        #expect(keys.allSatisfy { !visit.holds($0) })
        visit.receive(
            visit.request(6, epoch: 0) {
                PeerRequest.fetch(key: Array("node:name".utf8), deadlineMilliseconds: 100, byJob: false).encode(
                    into: &$0)
            })
        #expect(Self.failure(try visit.frame())?.reason == .wrongEpoch)
        visit.receive(visit.batch(7, visit.sets(keys)))
        #expect(Self.failure(try visit.frame()) == nil)
        #expect(!keys.isEmpty && keys.allSatisfy { visit.holds($0) })
    }

    @Test("a command in a partition of another node is refused alone, whatever its key")
    func otherPartition() throws {
        var visit = try Visit()
        let (own, others) = (visit.keys(ofPeer: false), visit.keys(ofPeer: true))
        visit.receive(visit.batch(5, visit.sets(own + others)))
        var answers = Array(try visit.frame().message.readableBytesView)
        answers.removeFirst()
        var reasons: [Int: Bool] = [:]
        ForwardAnswer.forEach(answers) { index, at in
            let outcome = ForwardAnswer.outcome(answers, at: at)
            if case .failed(let failure) = outcome {
                reasons[index] = failure.reason == .wrongEpoch
            } else {
                reasons[index] = false
            }
        }
        #expect((0..<own.count).allSatisfy { reasons[$0] == false })
        #expect((own.count..<own.count + others.count).allSatisfy { reasons[$0] == true })
        #expect(own.allSatisfy { visit.holds($0) } && others.allSatisfy { !visit.holds($0) })
    }

    @Test("of a batch that comes in pieces nothing is done before its end, and nothing where that never comes")
    func halfABatch() throws {
        let whole = try Visit()
        let keys = whole.keys(ofPeer: false)
        let bytes = whole.batch(5, whole.sets(keys))
        for cut in [1, 12, 31, 32, bytes.readableBytes / 2, bytes.readableBytes - 1] {
            var visit = try Visit()
            visit.receive(bytes.getSlice(at: 0, length: cut)!)
            #expect(keys.allSatisfy { !visit.holds($0) })
            visit.end()
            #expect(keys.allSatisfy { !visit.holds($0) }, "cut at \(cut)")
            #expect(throws: Unexpected.self) { try visit.frame() }
        }
        for piece in [1, 3, 50] {
            var visit = try Visit()
            var left = bytes
            while let slice = left.readSlice(length: min(piece, left.readableBytes)), slice.readableBytes > 0 {
                visit.receive(slice)
            }
            #expect(try visit.frame().id == 5)
            #expect(keys.allSatisfy { visit.holds($0) })
        }
    }
}
