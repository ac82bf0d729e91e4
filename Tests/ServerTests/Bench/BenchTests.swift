// The load generator's pure parts: replies are counted wherever the stream is cut, keys follow their distribution.

import NIOCore
import Server
import Testing

@Suite struct BenchTests {
    private func count(_ wire: BenchWorkload.Wire, _ text: String, pieceBytes: Int) -> (
        replies: Int, counter: ReplyCounter
    ) {
        count(wire, Array(text.utf8), pieceBytes: pieceBytes)
    }

    private func count(_ wire: BenchWorkload.Wire, _ bytes: [UInt8], pieceBytes: Int) -> (
        replies: Int, counter: ReplyCounter
    ) {
        var counter = ReplyCounter(wire)
        var replies = 0
        for start in stride(from: 0, to: bytes.count, by: pieceBytes) {
            replies += bytes[start..<min(bytes.count, start + pieceBytes)].withUnsafeBytes { counter.feed($0) }
        }
        return (replies, counter)
    }

    @Test("memcached's replies are counted in pieces of every size; a value that looks like a reply is none")
    func memcached() {
        let text =
            "VALUE a 0 5\r\nEND\r\n\r\nEND\r\nEND\r\nSTORED\r\nVALUE a 0 1\r\nx\r\nVALUE b 0 0\r\n\r\nEND\r\nSERVER_ERROR no\r\n"
        for pieceBytes in 1...text.utf8.count {
            let (replies, counter) = count(.memcached, text, pieceBytes: pieceBytes)
            #expect(replies == 5)
            #expect(counter.misses == 1 && counter.errors == 1)
            #expect(counter.firstError.hasPrefix("SERVER_ERROR no"))
        }
    }

    @Test("replies of the binary protocol are counted in pieces of every size, those of a list as one")
    func binary() {
        let packets: [BinaryPacket] = [
            .value("END", key: "a"), .answer(0x01), .error(0x00, 1), .value("1", opcode: 0x0D, key: "b"), .answer(0x0A),
            .error(0x01, 3),
        ]
        let bytes = packets.flatMap(\.bytes)
        for pieceBytes in 1...bytes.count {
            let (replies, counter) = count(.binary, bytes, pieceBytes: pieceBytes)
            #expect(replies == 5)
            #expect(counter.misses == 1 && counter.errors == 1 && counter.firstError == "status 3")
        }
    }

    @Test("redis's replies are counted in pieces of every size, an array as one")
    func redis() {
        let text = "+OK\r\n$5\r\n-ERR\n\r\n$-1\r\n:12\r\n*3\r\n$1\r\na\r\n$-1\r\n$0\r\n\r\n-ERR bad\r\n*0\r\n"
        for pieceBytes in 1...text.utf8.count {
            let (replies, counter) = count(.redis, text, pieceBytes: pieceBytes)
            #expect(replies == 7)
            #expect(counter.misses == 2 && counter.errors == 1)
        }
    }

    @Test("uniform keys are even, Zipf keys are not, and both stay within their number")
    func sampler() {
        for theta in [nil, 0.5, 0.99] {
            var sampler = KeySampler(keys: 1_000, zipf: theta, seed: 1)
            var counts = [Int](repeating: 0, count: 1_000)
            for _ in 0..<200_000 { counts[sampler.next()] += 1 }
            let hottest = counts[0]
            let middle = counts[490..<510].reduce(0, +) / 20
            switch theta {
            case nil: #expect((120...280).contains(hottest) && (170...230).contains(middle))
            case 0.5: #expect(hottest > 5 * middle)
            default: #expect(hottest > 100 * middle)
            }
        }
    }

    @Test("a request's number is written into each gap, with as many zeros as it takes")
    func patterns() {
        var out = ByteBuffer()
        RequestPattern("get k%d\r\n").write(0, to: &out)
        RequestPattern("%d-%d", digits: 4).write(12, to: &out)
        RequestPattern(" %d%d ", digits: 2).write(12_345, to: &out)
        RequestPattern("none").write(7, to: &out)
        RequestPattern("%d").write(Int.max, to: &out)
        #expect(String(buffer: out) == "get k0\r\n0012-0012 1234512345 none9223372036854775807")
    }
}
