// Half-sent requests and unread answers of all connections together are bounded, and who moves is not the one to go.

import Engine
import Gather
import Server
import Testing
import Glibc

@Suite(.serialized) struct BufferTests {
    private static let refusal = "SERVER_ERROR out of memory storing object\r\n"
    private static let blockBytes = 1_000_000

    /// Room for about four blocks, two for each loop.
    private static func withServer(
        _ body: (_ port: Int, _ listener: MemcachedListener<Router>) async throws -> Void
    ) async throws {
        try await LoopbackTests.withServer({ $0.session.bufferBytesMax = 5 << 20 }, body)
    }

    @Test(
        "of many half-sent sets the oldest are refused and their blocks skipped, whatever the verb",
        arguments: ["set", "add", "ms"])
    func halfSent(verb: String) async throws {
        try await Self.withServer { port, listener in
            let value = String(repeating: "v", count: Self.blockBytes)
            let clients = (0..<30).map { _ in LoopbackClient(port: port) }
            for (number, client) in clients.enumerated() {
                let line =
                    verb == "ms" ? "ms k\(number) \(Self.blockBytes)" : "\(verb) k\(number) 0 0 \(Self.blockBytes)"
                client.send("\(line)\r\n\(value.prefix(900_000))")
            }
            var waits = 0
            while listener.statistics[.buffersRefused] < 20, waits < 5_000 {
                usleep(1_000)
                waits += 1
            }
            var stored = 0
            for (number, client) in clients.enumerated() {
                client.send("\(value.suffix(100_000))\r\nmn\r\n")
                let first = client.receive(4)
                let isStored = first == (verb == "ms" ? "HD\r\n" : "STOR")
                stored += isStored ? 1 : 0
                let rest = (isStored ? (verb == "ms" ? "" : "ED\r\n") : String(Self.refusal.dropFirst(4))) + "MN\r\n"
                #expect(client.receive(rest.utf8.count) == rest, "client \(number): \(first)")
                client.send("get k\(number)\r\n")
                let answer = isStored ? "VALUE k\(number) 0 \(Self.blockBytes)\r\n\(value)\r\nEND\r\n" : "END\r\n"
                let isSame = client.receive(answer.utf8.count) == answer
                #expect(isSame, "client \(number)")
            }
            #expect(stored > 0 && stored <= 10, "\(stored)")
        }
    }

    @Test("a set that is refused on its way leaves no old value, and says nothing where no reply was asked for")
    func staleValue() async throws {
        try await Self.withServer { port, listener in
            let value = String(repeating: "v", count: 900_000)
            let first = LoopbackClient(port: port)
            first.send("set old 0 0 3\r\nabc\r\n")
            #expect(first.receive(8) == "STORED\r\n")
            first.send("set old 0 0 \(Self.blockBytes) noreply\r\n\(value)")
            let others = (0..<20).map { _ in LoopbackClient(port: port) }
            for other in others { other.send("set x 0 0 \(Self.blockBytes)\r\n\(value)") }
            var waits = 0
            while listener.statistics[.buffersRefused] < 12, waits < 5_000 {
                usleep(1_000)
                waits += 1
            }
            first.send(String(repeating: "v", count: 100_000) + "\r\nget old\r\nmn\r\n")
            #expect(first.receive(9) == "END\r\nMN\r\n")
        }
    }

    @Test("who reads gets everything, while a hundred others ask for much and read nothing")
    func unread() async throws {
        try await Self.withServer { port, _ in
            let value = String(repeating: "v", count: Self.blockBytes)
            let reader = LoopbackClient(port: port)
            reader.send("set big 0 0 \(Self.blockBytes)\r\n\(value)\r\n")
            #expect(reader.receive(8) == "STORED\r\n")
            // How much of it the kernel takes, and so how many of them are cut off, is the kernel's.
            let sleepers = (0..<100).map { _ in LoopbackClient(port: port, receiveBufferBytes: 4_096) }
            for sleeper in sleepers { sleeper.send(String(repeating: "get big\r\n", count: 20)) }
            usleep(300_000)
            let answer = "VALUE big 0 \(Self.blockBytes)\r\n\(value)\r\nEND\r\n"
            for _ in 0..<20 {
                reader.send("get big\r\n")
                let isSame = reader.receive(answer.utf8.count) == answer
                #expect(isSame)
            }
        }
    }

    @Test("a long line of keys that does not end is refused too, and its connection closed")
    func longLines() async throws {
        try await Self.withServer { port, listener in
            let keys = String(repeating: " key:\(String(repeating: "k", count: 100))", count: 9_000)
            let clients = (0..<20).map { _ in LoopbackClient(port: port) }
            for client in clients { client.send("get\(keys)") }
            var waits = 0
            while listener.statistics[.buffersRefused] < 10, waits < 5_000 {
                usleep(1_000)
                waits += 1
            }
            let refusal = "SERVER_ERROR out of memory reading request\r\n"
            var answered = 0
            for (number, client) in clients.enumerated() {
                client.send("\r\nmn\r\n")
                let first = client.receive(9)
                answered += first == "END\r\nMN\r\n" ? 1 : 0
                if first != "END\r\nMN\r\n" {
                    #expect(first + client.receive(refusal.utf8.count - 9) == refusal, "client \(number)")
                    #expect(client.isAtEnd)
                }
            }
            #expect(answered > 0 && answered <= 10, "\(answered)")
        }
    }
}
