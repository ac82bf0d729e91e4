// A link to another node: nobody who asks is left waiting, and a peer that reads nothing costs a bounded amount of memory.

import Coordination
import Engine
import Gather
import NIOCore
import NIOPosix
import Synchronization
import Testing

@Suite struct PeerLinkTests {
    /// What the completions of requests said, and how often each was called.
    private final class Answers: Sendable {
        private let reasons = Mutex<[Int: [String]]>([:])

        func note(_ request: Int, _ result: Result<PeerReply, Failure>) {
            let text = if case .failure(let failure) = result { failure.reason.rawValue } else { "answered" }
            reasons.withLock { $0[request, default: []].append(text) }
        }

        var byRequest: [Int: [String]] { reasons.withLock { $0 } }
    }

    /// A server that accepts connections and never reads from them.
    private static func deafServer(
        _ group: any EventLoopGroup, accepted: EventLoopPromise<Void>? = nil
    ) async throws -> any Channel {
        try await ServerBootstrap(group: group)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { channel in
                accepted?.succeed()
                return channel.eventLoop.makeSucceededVoidFuture()
            }
            .bind(host: "127.0.0.1", port: 0).get()
    }

    private static func link(to server: any Channel, _ group: any EventLoopGroup, queuedBytesMax: Int) -> PeerLink {
        // Given up in the end: not before this test has seen what it costs until then.
        var timing = LinkMachine.Timing()
        timing.greetMilliseconds = 600_000
        return PeerLink(
            loop: group.next(), name: "deaf", host: "127.0.0.1", port: server.localAddress!.port!,
            caller: .node(PeerIdentity(name: "n1", incarnation: 1, epoch: 1, others: ["deaf"])),
            queuedBytesMax: queuedBytesMax, timing: timing)
    }

    @Test("requests to a peer that reads nothing are refused once enough of them wait, and all are ended by closing")
    func deafPeer() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let accepted = group.next().makePromise(of: Void.self)
        let server = try await Self.deafServer(group, accepted: accepted)
        let link = Self.link(to: server, group, queuedBytesMax: 1 << 20)
        let answers = Answers()
        let value = [UInt8](repeating: 1, count: 1 << 20)
        // Connected first: what is written from here on goes to a connection that nobody reads.
        link.send(.item(.get, key: [0]), deadline: .never) { answers.note(0, $0) }
        try await accepted.futureResult.get()
        for request in 1...64 {
            // One turn of the loop each, so that every request has had its chance to leave.
            try await group.next().submit {
                link.send(
                    .item(.store(.set, flags: 0, expiry: .never, cas: 0, value: value), key: [1]), deadline: .never
                ) { answers.note(request, $0) }
            }.get()
        }
        #expect(answers.byRequest.values.contains(["overloaded"]))
        #expect(answers.byRequest.values.allSatisfy { $0 == ["overloaded"] })
        link.close()
        try await group.next().submit {}.get()
        #expect(answers.byRequest.count == 65)
        #expect(answers.byRequest.values.allSatisfy { $0 == ["overloaded"] || $0 == ["cancelled"] })
        #expect(answers.byRequest[0] == ["cancelled"])
        try await server.close()
        try await group.shutdownGracefully()
    }

    @Test("a closed link answers at once, also one that was still connecting")
    func closed() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let server = try await Self.deafServer(group)
        let link = Self.link(to: server, group, queuedBytesMax: 1 << 20)
        let answers = Answers()
        try await group.next().submit {
            link.send(.item(.get, key: [0]), deadline: .never) { answers.note(0, $0) }
            link.close()
            link.send(.item(.get, key: [0]), deadline: .never) { answers.note(1, $0) }
        }.get()
        await #expect(throws: Failure.self) {
            _ = try await link.send(.item(.get, key: [0]), deadline: .never)
        }
        #expect(answers.byRequest == [0: ["cancelled"], 1: ["cancelled"]])
        try await server.close()
        try await group.shutdownGracefully()
    }

    @Test("a reply that is larger than a frame may be is a failure that says so, and the frame before it stays whole")
    func tooLarge() throws {
        var buffer = ByteBuffer()
        PeerReply.value(.bytes([1, 2, 3])).write(id: 1, into: &buffer, bytesMax: 100)
        PeerReply.value(.bytes([UInt8](repeating: 9, count: 100))).write(id: 2, into: &buffer, bytesMax: 100)
        var decoder = PeerFrameDecoder()
        decoder.append(buffer)
        var first = try #require(try decoder.next())
        let small = PeerReply(decoding: &first.message)
        #expect(small == .value(.bytes([1, 2, 3])))
        var second = try #require(try decoder.next())
        #expect(second.id == 2)
        guard case .failure(let failure)? = PeerReply(decoding: &second.message) else {
            Issue.record("no failure")
            return
        }
        #expect(failure.reason == .budgetExceeded)
        let end = try decoder.next()
        #expect(end == nil)
    }
}
