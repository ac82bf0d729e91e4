// What plain requests allocate: nothing. Counted on the serving thread, over a real connection.

import CAllocations
import Engine
import Gather
import Server
import Synchronization
import Testing
import Glibc

@Suite(.serialized) struct AllocationTests {
    /// Allocations of the serving thread while `requests` were answered with `answer`, each `rounds` times.
    private static func allocations(of requests: String, answer: String, rounds: Int) throws -> UInt {
        try allocations(
            of: Array(requests.utf8), answerBytes: answer.utf8.count, rounds: rounds,
            isRight: { $0.elementsEqual(answer.utf8) })
    }

    private static func allocations(
        of requests: [UInt8], answerBytes: Int, rounds: Int, isRight: ([UInt8]) -> Bool
    ) throws -> UInt {
        let loop = ServingLoop(index: 0)
        defer { loop.shutdown() }
        var configuration = MemcachedListenerConfiguration()
        configuration.port = 0
        let router = Router(engine: Engine(EngineConfiguration(memoryBytes: 64 << 20)))
        let listener = MemcachedListener(configuration, router: router, loops: [loop])
        try listener.start()
        defer { listener.stop() }
        let first = LoopbackClient(port: listener.ports[0])
        let client = LoopbackClient(port: listener.ports[0])
        for number in 0..<100 {
            first.send("set key:\(number + 100) 0 0 100\r\n\(String(repeating: "v", count: 100))\r\n")
            #expect(first.receive(8) == "STORED\r\n")
        }
        func exchange(_ rounds: Int) {
            for _ in 0..<rounds {
                client.send(requests)
                let received = client.receiveBytes(answerBytes)
                if !isRight(received) { Issue.record("\(received.prefix(200)) came instead of the answer") }
            }
        }
        // Buffers, tables and the sketch of hot keys get their size.
        exchange(rounds)
        let before = count(on: loop)
        exchange(rounds)
        return count(on: loop) - before
    }

    /// What the loop's thread has allocated so far.
    private static func count(on loop: ServingLoop) -> UInt {
        let answer = Answer()
        loop.execute { answer.value.withLock { $0 = allocations_of_this_thread() } }
        while true {
            if let count = answer.value.withLock({ $0 }) { return count }
            usleep(100)
        }
    }

    private final class Answer: Sendable { let value = Mutex<UInt?>(nil) }

    private static func value(_ number: Int) -> String {
        "VALUE key:\(number) 0 100\r\n\(String(repeating: "v", count: 100))\r\n"
    }

    /// Reading the counter takes a few itself: none of them is a request's.
    private static let overhead: UInt = 10

    @Test("a plain get allocates nothing, one at a time and a batch at a time")
    func gets() throws {
        let single = try Self.allocations(of: "get key:150\r\n", answer: Self.value(150) + "END\r\n", rounds: 2_000)
        #expect(single <= Self.overhead)
        let numbers = Array(120..<152)
        let batch = try Self.allocations(
            of: numbers.map { "get key:\($0)\r\n" }.joined(),
            answer: numbers.map { Self.value($0) + "END\r\n" }.joined(), rounds: 500)
        #expect(batch <= Self.overhead)
    }

    @Test("nor does one of the binary protocol, quiet or not, or a set of a key that is there")
    func binary() throws {
        let value = String(repeating: "v", count: 100)
        let numbers = Array(120..<152)
        var requests: [UInt8] = []
        for number in numbers {
            requests += BinaryPacket.set("key:\(number)", value, opcode: 0x11).bytes
            requests += BinaryPacket.ask(number % 2 == 0 ? 0x00 : 0x0D, "key:\(number)").bytes
        }
        requests += BinaryPacket.ask(0x0A).bytes
        let keyBytes = numbers.count { $0 % 2 == 1 } * "key:120".utf8.count
        let batch = try Self.allocations(
            of: requests, answerBytes: numbers.count * (24 + 4 + 100) + keyBytes + 24, rounds: 500
        ) { bytes in
            let answers = BinaryPacket.answers(bytes) ?? []
            return answers.last?.opcode == 0x0A && answers.dropLast().allSatisfy { $0.value.elementsEqual(value.utf8) }
        }
        #expect(batch <= Self.overhead)
    }

    @Test("nor does a retrieval of many keys, a miss, or a set of a key that is there")
    func others() throws {
        let keys = (100..<200).map { "key:\($0)" }.joined(separator: " ")
        let many = try Self.allocations(
            of: "get \(keys)\r\n", answer: (100..<200).map(Self.value).joined() + "END\r\n", rounds: 200)
        #expect(many <= Self.overhead)
        let miss = try Self.allocations(of: "get other:1\r\n", answer: "END\r\n", rounds: 1_000)
        #expect(miss <= Self.overhead)
        let value = String(repeating: "w", count: 100)
        let set = try Self.allocations(of: "set key:101 0 0 100\r\n\(value)\r\n", answer: "STORED\r\n", rounds: 1_000)
        #expect(set <= Self.overhead)
    }

    @Test("the counter counts")
    func counter() {
        let before = allocations_of_this_thread()
        var arrays: [[Int]] = []
        for number in 0..<50 { arrays.append([number, number + 1]) }
        #expect(allocations_of_this_thread() - before >= 50)
        #expect(arrays.count == 50)
    }
}
