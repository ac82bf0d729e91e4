// Clients that do not behave, over real sockets: they don't read, write a byte at a time, fall silent, or vanish.

import Engine
import Gather
import Server
import Testing
import Glibc

@Suite(.serialized) struct BadClientTests {
    static let megabyte = String(repeating: "x", count: 1_000_000)
    static let storeLarge = "set large 0 0 1000000 noreply\r\n\(megabyte)\r\n"
    static let largeAnswerBytes = "VALUE large 0 1000000\r\n".utf8.count + 1_000_000 + "\r\nEND\r\n".utf8.count

    /// Waits until `condition` holds, for 20 seconds at most; returns whether it does.
    static func eventually(_ condition: () -> Bool) async throws -> Bool {
        for _ in 0..<2000 where !condition() { try await Task.sleep(for: .milliseconds(10)) }
        return condition()
    }

    @Test("a client that never reads is given no more than its buffers hold, and is cut off")
    func neverReads() async throws {
        try await LoopbackTests.withServer({ $0.session.readerTimeoutMilliseconds = 400 }) { port, listener in
            let client = LoopbackClient(port: port, receiveBufferBytes: 4096)
            client.send(Self.storeLarge)
            // 300 MB of answers.
            client.send(String(repeating: "get large\r\n", count: 300))
            let isCutOff = try await Self.eventually {
                listener.statistics.totalConnections == 1 && listener.statistics.currentConnections == 0
            }
            #expect(isCutOff)
            #expect(listener.statistics[.slowReaderKicks] == 1)
            // What the kernel takes for a connection (some 6 MB at most), and the channel's mark.
            #expect(listener.statistics[.bytesWritten] < 20_000_000)
            let other = LoopbackClient(port: port)
            other.send("mn\r\n")
            #expect(other.receive(4) == "MN\r\n")
        }
    }

    @Test("a client that asks for more and more and never reads is not listened to for ever")
    func neverReadsButSends() async throws {
        try await LoopbackTests.withServer({ $0.session.readerTimeoutMilliseconds = 60_000 }) { port, listener in
            let client = LoopbackClient(port: port, receiveBufferBytes: 4096)
            client.send(Self.storeLarge)
            let requests = String(repeating: "get large\r\n", count: 5000)
            var sentBytes = 0
            var pauses = 0
            // Until nothing is taken for a second, or far more than any buffer holds.
            while pauses < 100, sentBytes < 100_000_000 {
                let sent = client.sendAtOnce(requests)
                sentBytes += sent
                pauses = sent == 0 ? pauses + 1 : 0
                if sent == 0 { try await Task.sleep(for: .milliseconds(10)) }
            }
            #expect(pauses == 100)
            #expect(listener.statistics[.bytesRead] < 2_000_000)
            client.willVanish()
        }
    }

    @Test("a client that quits without reading its answers is cut off too")
    func quitsWithoutReading() async throws {
        try await LoopbackTests.withServer({ $0.session.readerTimeoutMilliseconds = 400 }) { port, listener in
            let client = LoopbackClient(port: port, receiveBufferBytes: 4096)
            client.send(Self.storeLarge + String(repeating: "get large\r\n", count: 12) + "quit\r\n")
            let isCutOff = try await Self.eventually {
                listener.statistics.totalConnections == 1 && listener.statistics.currentConnections == 0
            }
            #expect(isCutOff)
            #expect(listener.statistics[.slowReaderKicks] == 1)
            _ = client
        }
    }

    @Test("a slow client that goes on reading gets all of it, however long that takes")
    func readsSlowly() async throws {
        try await LoopbackTests.withServer({ $0.session.readerTimeoutMilliseconds = 2_000 }) { port, listener in
            let client = LoopbackClient(port: port, receiveBufferBytes: 64 << 10)
            client.send(Self.storeLarge + String(repeating: "get large\r\n", count: 20) + "mn\r\n")
            var receivedBytes = 0
            let expectedBytes = 20 * Self.largeAnswerBytes
            while receivedBytes < expectedBytes {
                let piece = client.receive(min(400_000, expectedBytes - receivedBytes)).utf8.count
                guard piece > 0 else { break }
                receivedBytes += piece
                try await Task.sleep(for: .milliseconds(60))
            }
            #expect(receivedBytes == expectedBytes)
            #expect(client.receive(4) == "MN\r\n")
            #expect(listener.statistics[.slowReaderKicks] == 0)
        }
    }

    @Test("bytes that come one at a time are answered like any others")
    func writesSlowly() async throws {
        try await LoopbackTests.withServer { port, _ in
            let client = LoopbackClient(port: port)
            let text =
                "set a 5 0 4\r\nab\r\n\r\nget a b a\r\nms b 2 T0\r\nhi\r\nmg b v\r\nincr a 1\r\nfoo\r\n"
                + "set c 0 0 2\r\nabc\r\nmn\r\n"
            for character in text.utf8 { client.send(String(decoding: [character], as: UTF8.self)) }
            let expected =
                "STORED\r\nVALUE a 5 4\r\nab\r\n\r\nVALUE a 5 4\r\nab\r\n\r\nEND\r\nHD\r\nVA 2\r\nhi\r\n"
                + Wire.notNumeric
                + "ERROR\r\nCLIENT_ERROR bad data chunk\r\nCLIENT_ERROR bad command line format\r\nMN\r\n"
            #expect(client.receive(expected.utf8.count) == expected)
        }
    }

    @Test("clients that vanish in a line, a data block or an answer leave nothing behind")
    func vanishes() async throws {
        try await LoopbackTests.withServer { port, listener in
            let first = LoopbackClient(port: port)
            first.send(Self.storeLarge + "mn\r\n")
            #expect(first.receive(4) == "MN\r\n")
            let beginnings = [
                "ge", "set a 0 0 1000000\r\n" + Self.megabyte.prefix(500_000), "set a 0 0 2000000\r\nxx",
                String(repeating: "get large\r\n", count: 50), "get large\r\n", "",
            ]
            for round in 0..<60 {
                let client = LoopbackClient(port: port, receiveBufferBytes: round % 2 == 0 ? 4096 : 0)
                client.willVanish()
                let beginning = beginnings[round % beginnings.count]
                _ = client.sendAtOnce(beginning)
                if beginning.hasPrefix("get"), round % 4 < 2 { _ = client.receive(1) }
            }
            let areGone = try await Self.eventually {
                listener.statistics.totalConnections == 61 && listener.statistics.currentConnections == 1
            }
            #expect(areGone)
            first.send("get a\r\nmn\r\n")
            #expect(first.receive(9) == "END\r\nMN\r\n")
        }
    }

    @Test("a client that has closed its sending half still gets the answer that another node owes it")
    func halfClosed() async throws {
        var configuration = MemcachedListenerConfiguration()
        configuration.port = 0
        let router = ScriptedRouter()
        let loop = ServingLoop(index: 0)
        let listener = MemcachedListener(configuration, router: router, loops: [loop])
        try listener.start()
        defer {
            listener.stop()
            loop.shutdown()
        }
        let client = LoopbackClient(port: listener.ports[0])
        client.send("get r:k\r\nget a\r\nset b 0 0 5\r\nhal")
        client.endInput()
        let isAsked = try await Self.eventually { router.pending.count == 1 }
        #expect(isAsked)
        router.answer(0, .value(flags: 3, cas: 0, bytes: Array("v".utf8)))
        let expected = "VALUE r:k 3 1\r\nv\r\nEND\r\nEND\r\n"
        #expect(client.receive(expected.utf8.count) == expected)
        #expect(client.isAtEnd)
    }

    @Test("a silent client is closed after the idle timeout; one that talks is not")
    func idles() async throws {
        try await LoopbackTests.withServer({ $0.session.idleTimeoutSeconds = 2 }) { port, listener in
            let silent = LoopbackClient(port: port)
            let talking = LoopbackClient(port: port)
            silent.send("mn\r\n")
            #expect(silent.receive(4) == "MN\r\n")
            var isKicked = false
            for _ in 0..<200 where !isKicked {
                talking.send("mn\r\n")
                #expect(talking.receive(4) == "MN\r\n")
                try await Task.sleep(for: .milliseconds(50))
                isKicked = listener.statistics[.idleKicks] > 0
            }
            #expect(isKicked)
            #expect(silent.isAtEnd)
            #expect(listener.statistics.currentConnections == 1)
        }
    }

    @Test("thousands of connections, most of them idle; beyond the limit a line says so")
    func manyConnections() async throws {
        // Both ends are in this process.
        let wanted = 2000
        let count = min(wanted, OpenFiles.makeRoom(connections: 2 * wanted + 200, reserve: 100) / 2 - 100)
        try await LoopbackTests.withServer({
            $0.connectionsMax = count
            $0.backlog = 4096
        }) { port, listener in
            var clients: [LoopbackClient] = []
            for _ in 0..<count { clients.append(LoopbackClient(port: port)) }
            for (at, client) in clients.enumerated() where at % 50 == 0 {
                client.send("set k\(at) 0 0 2\r\nhi\r\nget k\(at)\r\n")
                let expected = "STORED\r\nVALUE k\(at) 0 2\r\nhi\r\nEND\r\n"
                #expect(client.receive(expected.utf8.count) == expected)
            }
            let areAllIn = try await Self.eventually { listener.statistics.currentConnections == count }
            #expect(areAllIn)
            for _ in 0..<5 {
                let oneTooMany = LoopbackClient(port: port)
                #expect(oneTooMany.receive(33) == "ERROR Too many open connections\r\n")
                #expect(oneTooMany.isAtEnd)
            }
            #expect(listener.statistics.rejectedConnections == 5)
            clients[0].send("mn\r\n")
            #expect(clients[0].receive(4) == "MN\r\n")
            clients = []
            let areGone = try await Self.eventually { listener.statistics.currentConnections == 0 }
            #expect(areGone)
        }
    }
}
