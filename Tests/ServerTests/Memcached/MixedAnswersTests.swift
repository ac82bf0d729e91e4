// No order of large and small answers, errors, forwarded requests and ends of a connection loses an answer.

import Dispatch
import Engine
import Gather
import Server
import Synchronization
import Testing
import Glibc

/// Keys that start with `r:` live in another engine, whose answers come a little later, in the order of the requests.
private final class LateRouter: CommandRouter {
    private let own = Engine(EngineConfiguration(memoryBytes: 32 << 20))
    private let other = Engine(EngineConfiguration(memoryBytes: 32 << 20))
    private let queue = DispatchQueue(label: "other node")

    var stores: ItemStores { own.stores }

    func route(_ key: UnsafeRawBufferPointer, virtual: Bool) -> Router.Route {
        key.starts(with: Array("r:".utf8)) ? .remote(Place(node: 0, partition: 0)) : .local(hash: keyHash(key))
    }

    func send(_ batch: ForwardBatch, links: PeerLinks?) {
        batch.forEachItem { index, command, key in forward(command, key: key) { batch.answer(index, $0) } }
    }

    private func forward(_ command: ItemCommand, key: [UInt8], completion: @escaping ItemCompletion) {
        queue.async { [other] in
            if key.last.map({ $0 % 2 == 0 }) == true { usleep(100) }
            completion(
                key.withUnsafeBytes { bytes in
                    let hash = keyHash(bytes)
                    return other.stores[hash].execute(command, key: bytes, hash: hash, now: unixSeconds())
                })
        }
    }

    func call(_ key: VirtualKey, data: [UInt8]?, links: PeerLinks?, completion: @escaping CallCompletion) {
        completion(.failure(Failure(.miss, "no methods here")))
    }

    func flushAll(delaySeconds: UInt32, now: UInt32, links: PeerLinks?, completion: @escaping CallCompletion) {
        queue.async { [own, other] in
            usleep(500)
            for store in own.stores.all + other.stores.all { store.flushAll(at: 0, now: unixSeconds()) }
            completion(.success(.null))
        }
    }
}

@Suite(.serialized) struct MixedAnswersTests {
    private enum End: CaseIterable { case stay, quit, shutdown, endInput }

    private static func withServer(_ body: (_ port: Int, _ shutdowns: () -> Int) throws -> Void) throws {
        let loops = (0..<2).map { ServingLoop(index: $0) }
        var configuration = MemcachedListenerConfiguration()
        configuration.port = 0
        configuration.session.itemBytesMax = MixedRequests.itemBytesMax
        configuration.session.allowsShutdown = true
        let counter = ShutdownCounter()
        let listener = MemcachedListener(
            configuration, router: LateRouter(), loops: loops, shutdown: { counter.raise() })
        try listener.start()
        defer {
            listener.stop()
            for loop in loops { loop.shutdown() }
        }
        try body(listener.ports[0]) { counter.value }
    }

    private final class ShutdownCounter: Sendable {
        private let count = Mutex(0)
        var value: Int { count.withLock { $0 } }
        func raise() { count.withLock { $0 += 1 } }
    }

    private static func text(_ bytes: [UInt8], at: Int) -> String {
        String(decoding: bytes.dropFirst(max(0, at - 40)).prefix(80), as: UTF8.self).debugDescription
    }

    @Test("what follows a large value in the same packet is answered, and the connection then ends")
    func afterLarge() throws {
        try Self.withServer { port, _ in
            for bytes in [16_383, 16_384, 16_385, 65_536, 200_000, 399_000] {
                for last in ["quit", "shutdown"] {
                    let value = String(repeating: "v", count: bytes)
                    let client = LoopbackClient(port: port)
                    client.send("set big 0 0 \(bytes) noreply\r\n\(value)\r\nset k 0 0 1\r\n1\r\n")
                    #expect(client.receive(8) == "STORED\r\n")
                    client.send("get big\r\nget k\r\n\(last)\r\n")
                    let expected = "VALUE big 0 \(bytes)\r\n\(value)\r\nEND\r\nVALUE k 0 1\r\n1\r\nEND\r\n"
                    let isSame = client.receive(expected.utf8.count) == expected
                    #expect(isSame, "\(bytes) bytes, then \(last)")
                    #expect(client.isAtEnd, "\(bytes) bytes, then \(last)")
                }
            }
        }
    }

    @Test("any mix of requests, in pieces of any size, is answered as a simple model says", arguments: 0..<16)
    func mixes(seed: Int) throws {
        try Self.withServer { port, shutdowns in
            for (at, end) in End.allCases.enumerated() {
                var random = SeededRandom(UInt64(seed * 10 + at + 1))
                var mix = MixedRequests(seed: UInt64(seed * 1_000 + at + 1))
                let client = LoopbackClient(port: port, receiveBufferBytes: seed % 2 == 0 ? 4_096 : 0)
                client.send("flush_all\r\n")
                #expect(client.receive(4) == "OK\r\n")
                mix.append(count: 40)
                if end == .quit { mix.appendQuit() }
                if end == .shutdown { mix.appendShutdown() }
                // The smallest pieces as small as ten thousand of them will do.
                let least = 1 + mix.request.count / 10_000
                let sizes = [least...least * 9, least...3_000 + least, 1_000...70_000, 200_000...300_000][seed % 4]
                let pace = LoopbackClient.Pace(
                    pieceBytes: { Int.random(in: sizes, using: &random) }, readsLate: seed % 3 == 0,
                    endsInput: end == .endInput)
                let before = shutdowns()
                let received = client.exchange(mix.request, pace, expectedBytes: mix.answer.count)
                let same = zip(received, mix.answer).prefix { $0 == $1 }.count
                #expect(
                    same == mix.answer.count && received.count == same,
                    """
                    seed \(seed), \(end): \(same) of \(mix.answer.count), then \(Self.text(received, at: same)) \
                    where \(Self.text(mix.answer, at: same)) was expected
                    """)
                if end != .stay { #expect(client.isAtEnd, "seed \(seed), \(end)") }
                if end == .shutdown {
                    var waits = 0
                    while shutdowns() == before, waits < 2_000 {
                        usleep(1_000)
                        waits += 1
                    }
                    #expect(shutdowns() == before + 1)
                }
            }
        }
    }
}
