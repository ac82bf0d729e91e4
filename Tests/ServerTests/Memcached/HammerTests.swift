// Several clients at one server over real sockets, all at once: every answer is the right one, and no count is lost. See
// decision 0014.

import Dispatch
import Engine
import Server
import Synchronization
import Testing

@Suite(.serialized) struct HammerTests {
    private static let clients = 6
    private static let rounds = 150

    @Test("clients that pipeline, count, list, ask for statistics and vanish at once are all answered right")
    func everything() async throws {
        try await LoopbackTests.withServer { port, _ in
            let wrong = Mutex<[String]>([])
            DispatchQueue.concurrentPerform(iterations: Self.clients) { number in
                let problem = Self.work(number, port)
                if let problem { wrong.withLock { $0.append(problem) } }
            }
            let problems = wrong.withLock { $0 }
            #expect(problems.isEmpty, "\(problems.first ?? "")")
            let client = LoopbackClient(port: port)
            client.send("get counted\r\n")
            let total = String(Self.clients * Self.rounds)
            #expect(
                client.receive(26 + total.utf8.count) == "VALUE counted 0 \(total.utf8.count)\r\n\(total)\r\nEND\r\n")
        }
    }

    /// What went wrong, or nil.
    private static func work(_ number: Int, _ port: Int) -> String? {
        var client = LoopbackClient(port: port)
        let large = String(repeating: "0123456789abcdef", count: 2000)
        client.send("add counted 0 0 1 noreply\r\n0\r\n")
        for round in 0..<rounds {
            let key = "own-\(number)-\(round % 7)"
            let value = round % 10 == 0 ? large : "value-\(number)-\(round)"
            let expected =
                "STORED\r\nVALUE \(key) \(round) \(value.utf8.count)\r\n\(value)\r\nEND\r\nHD s\(value.utf8.count)\r\n"
            client.send(
                "incr counted 1 noreply\r\nset \(key) \(round) 0 \(value.utf8.count)\r\n\(value)\r\nget \(key)\r\n"
                    + "mg \(key) s\r\n")
            let answer = client.receive(expected.utf8.count)
            if answer != expected { return "\(key): \(answer.prefix(100).debugDescription)" }
            if round % 15 == 7,
                let problem = ask(client, ["stats", "stats conns", "stats items", "lru_crawler metadump all"])
            {
                return problem
            }
            if round % 40 == 39 {
                client.send("get own-0-0 own-1-1\r\n")
                client.willVanish()
                client = LoopbackClient(port: port)
            }
        }
        return nil
    }

    /// Reads lists of unknown length, each to its end.
    private static func ask(_ client: LoopbackClient, _ commands: [String]) -> String? {
        for command in commands {
            client.send(command + "\r\n")
            var answer = ""
            while !answer.hasSuffix("END\r\n") {
                let piece = client.receive(1)
                if piece.isEmpty { return "\(command) has no end: \(answer.suffix(100).debugDescription)" }
                answer += piece
            }
        }
        return nil
    }
}
