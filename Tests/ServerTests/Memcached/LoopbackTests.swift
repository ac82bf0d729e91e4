// The same tables over a real socket, and what only a socket can show: large answers, slow readers, limits, busy ports.

import Dispatch
import Engine
import Gather
import Server
import Synchronization
import Testing
import Glibc

@Suite(.serialized) struct LoopbackTests {
    static func withServer(
        _ adjust: (inout MemcachedListenerConfiguration) -> Void = { _ in }, upgrade: PeerUpgrade? = nil,
        _ body: (_ port: Int, _ listener: MemcachedListener<Router>) async throws -> Void
    ) async throws {
        var configuration = MemcachedListenerConfiguration()
        configuration.port = 0
        adjust(&configuration)
        let loops = (0..<2).map { ServingLoop(index: $0) }
        let listener = MemcachedListener(
            configuration, router: Router(engine: Engine(EngineConfiguration(memoryBytes: 32 << 20))), loops: loops,
            upgrade: upgrade)
        try listener.start()
        defer {
            listener.stop()
            for loop in loops { loop.shutdown() }
        }
        try await body(listener.ports[0], listener)
    }

    @Test("every exchange answers as expected over a socket")
    func exchanges() async throws {
        try await Self.withServer { port, _ in
            for exchange in Wire.all where !exchange.tellsTime {
                let client = LoopbackClient(port: port)
                client.send("flush_all noreply\r\n" + exchange.send + (exchange.closes ? "" : "mn\r\n"))
                let expected = exchange.expect + (exchange.closes ? "" : "MN\r\n")
                let answer = client.receive(expected.utf8.count)
                let isSame = answer == expected
                #expect(isSame, "\(exchange.name): \(answer.prefix(300).debugDescription)")
                if exchange.closes { #expect(client.isAtEnd, "\(exchange.name)") }
            }
        }
    }

    @Test("large values come back whole, also to a client that sends a hundred requests before it reads")
    func largeValues() async throws {
        try await Self.withServer { port, _ in
            let value = String(repeating: "0123456789abcdef", count: 60_000)
            let client = LoopbackClient(port: port)
            client.send("set large 0 0 \(value.utf8.count)\r\n\(value)\r\n")
            #expect(client.receive(8) == "STORED\r\n")
            client.send(String(repeating: "get large\r\n", count: 100) + "mn\r\n")
            let expected = "VALUE large 0 960000\r\n\(value)\r\nEND\r\n"
            for _ in 0..<100 {
                let isSame = client.receive(expected.utf8.count) == expected
                #expect(isSame)
                if !isSame { return }
            }
            #expect(client.receive(4) == "MN\r\n")
            client.send("get" + String(repeating: " large", count: 30) + "\r\nmn\r\n")
            let piece = "VALUE large 0 960000\r\n\(value)\r\n"
            for _ in 0..<30 {
                let isSame = client.receive(piece.utf8.count) == piece
                #expect(isSame)
            }
            #expect(client.receive(9) == "END\r\nMN\r\n")
        }
    }

    @Test("a client that quits, or ends its sending half, still gets all it asked for")
    func closing() async throws {
        try await Self.withServer { port, _ in
            let value = String(repeating: "x", count: 1_000_000)
            let expected = "VALUE large 0 1000000\r\n\(value)\r\nEND\r\n"
            for quits in [true, false] {
                let client = LoopbackClient(port: port)
                client.send(
                    "set large 0 0 1000000 noreply\r\n\(value)\r\n" + String(repeating: "get large\r\n", count: 40))
                if quits { client.send("quit\r\n") } else { client.endInput() }
                let answer = client.receive(expected.utf8.count * 40)
                #expect(answer.utf8.count == expected.utf8.count * 40)
                let isSame = answer == String(repeating: expected, count: 40)
                #expect(isSame)
                #expect(client.isAtEnd)
            }
        }
    }

    @Test("many clients that send at the same time, in bursts around what is read ahead at once, all get their answers")
    func bursts() async throws {
        try await Self.withServer { port, _ in
            let clients = (0..<40).map { _ in LoopbackClient(port: port) }
            let commands = ["get k%\r\n", "set k% 0 0 3\r\nabc\r\n", "mg k% v\r\n"]
            for bytes in [1, 2_046, 2_047, 2_048, 2_049, 2_050, 4_096, 5_000, 40_000] {
                // Each burst ends somewhere in a request, whose rest comes once all the clients have sent theirs.
                var rests: [(text: String, answer: String)] = []
                for (number, client) in clients.enumerated() {
                    var (text, answer) = ("set k\(number) 0 0 3\r\nabc\r\n", "STORED\r\n")
                    while text.utf8.count < bytes {
                        let verb = (number + text.utf8.count) % commands.count
                        text += commands[verb].replacing("%", with: "\(number)")
                        answer +=
                            ["VALUE k\(number) 0 3\r\nabc\r\nEND\r\n", "STORED\r\n", "VA 3\r\nabc\r\n"][verb]
                    }
                    client.send(String(text.prefix(bytes)))
                    rests.append((String(text.dropFirst(bytes)), answer))
                }
                for (client, rest) in zip(clients, rests) {
                    client.send(rest.text)
                    let isSame = client.receive(rest.answer.utf8.count) == rest.answer
                    #expect(isSame, "bursts of \(bytes) bytes")
                }
            }
            for client in clients {
                client.send("quit\r\n")
                #expect(client.isAtEnd)
            }
        }
    }

    @Test("a unix socket serves like a port, with the permissions asked for, and is gone afterwards")
    func unixSocket() async throws {
        let path = "/tmp/cacheismo-test-\(getpid()).sock"
        try await Self.withServer({
            $0.unixSocketPath = path
            $0.unixSocketMode = 0o600
        }) { _, _ in
            var status = stat()
            #expect(stat(path, &status) == 0)
            #expect(status.st_mode & 0o777 == 0o600)
            let client = LoopbackClient(path: path)
            client.send(Wire.setA + "get a\r\n")
            #expect(client.receive(21) == "VALUE a 0 1\r\n1\r\nEND\r\n")
        }
        #expect(access(path, F_OK) != 0)
    }

    @Test("a connection over the limit is told so and closed; a place that becomes free is given out again")
    func connectionLimit() async throws {
        try await Self.withServer({ $0.connectionsMax = 2 }) { port, listener in
            var first: LoopbackClient? = LoopbackClient(port: port)
            let second = LoopbackClient(port: port)
            for client in [first!, second] {
                client.send("mn\r\n")
                #expect(client.receive(4) == "MN\r\n")
            }
            let third = LoopbackClient(port: port)
            #expect(third.receive(33) == "ERROR Too many open connections\r\n")
            #expect(third.isAtEnd)
            #expect(listener.statistics.rejectedConnections == 1)
            first?.send("quit\r\n")
            #expect(first?.isAtEnd == true)
            first = nil
            while listener.statistics.currentConnections > 1 { await Task.yield() }
            let fourth = LoopbackClient(port: port)
            fourth.send("mn\r\n")
            #expect(fourth.receive(4) == "MN\r\n")
        }
    }

    @Test("a busy port is refused in one line that names it")
    func busyPort() async throws {
        try await Self.withServer { port, _ in
            var configuration = MemcachedListenerConfiguration()
            configuration.port = port
            let loop = ServingLoop(index: 0)
            let second = MemcachedListener(configuration, router: Router(engine: Engine()), loops: [loop])
            #expect {
                try second.start()
            } throws: { error in
                "\(error)"
                    == "can't listen on 127.0.0.1:\(port): it is in use; stop what listens there or choose another port"
            }
            loop.shutdown()
        }
    }

    @Test("a peer's connection is handed over with what follows its line, and read on from there")
    func peer() async throws {
        let upgrade: PeerUpgrade = { _, descriptor, line, remaining, closed in
            let answer = line + remaining
            _ = send(descriptor, answer, answer.count, Int32(MSG_NOSIGNAL))
            _ = fcntl(descriptor, F_SETFL, 0)
            DispatchQueue.global().async {
                var bytes = [UInt8](repeating: 0, count: 7)
                let count = recv(descriptor, &bytes, bytes.count, Int32(MSG_WAITALL))
                _ = send(descriptor, bytes, count, Int32(MSG_NOSIGNAL))
                close(descriptor)
                closed()
            }
        }
        try await Self.withServer(upgrade: upgrade) { port, listener in
            let client = LoopbackClient(port: port)
            client.send("peer 1 n2\r\nrest")
            #expect(client.receive(13) == "peer 1 n2rest")
            #expect(listener.statistics.currentConnections == 1)
            client.send("get a\r\n")
            #expect(client.receive(7) == "get a\r\n")
            #expect(client.isAtEnd)
            while listener.statistics.currentConnections > 0 { await Task.yield() }
        }
    }
}
