// Requests of all kinds in any order, with the answers that a simple model of a cache gives them.

import Engine

/// Makes up requests and what has to come back. Keys that start with `r:` are another node's; the model does not care.
struct MixedRequests {
    private(set) var request: [UInt8] = []
    private(set) var answer: [UInt8] = []
    private var items: [String: [UInt8]] = [:]
    private var random: SeededRandom

    static let itemBytesMax = 400_000

    init(seed: UInt64) { random = SeededRandom(seed) }

    mutating func append(count: Int) { for _ in 0..<count { appendOne() } }

    mutating func appendQuit() {
        send("quit\r\n")
        send("get l0\r\nset l0 0 0 1\r\nx\r\n")
    }

    mutating func appendShutdown() { send("shutdown\r\n") }

    private mutating func send(_ text: String, _ bytes: [UInt8] = []) {
        request += Array(text.utf8)
        request += bytes
    }

    private mutating func expect(_ text: String, _ bytes: [UInt8] = []) {
        answer += Array(text.utf8)
        answer += bytes
    }

    private mutating func key() -> String {
        "\(Bool.random(using: &random) ? "l" : "r:")\(Int.random(in: 0..<5, using: &random))"
    }

    /// Any bytes, line ends and words of the protocol among them; its size around those where the way of an answer changes.
    private mutating func value() -> [UInt8] {
        let sizes = [0, 1, 60, 1_000, 16_383, 16_384, 16_385, 33_000, 90_000, 300_000]
        let count = sizes[Int.random(in: 0..<sizes.count, using: &random)]
        let words = ["\r\n", "END\r\n", "get l0\r\n", "quit\r\n", "\u{0}\u{1}", "VALUE "].map { Array($0.utf8) }
        var value: [UInt8] = []
        while value.count < count {
            value += words[Int.random(in: 0..<words.count, using: &random)]
            value += [UInt8](repeating: UInt8.random(in: 0...255, using: &random), count: min(count, 997))
        }
        return Array(value.prefix(count))
    }

    private mutating func appendOne() {
        switch Int.random(in: 0..<20, using: &random) {
        case 0...4: appendStore()
        case 5...9: appendGet()
        case 10...12: appendMeta()
        case 13:
            let key = key()
            send("delete \(key)\r\n")
            expect(items.removeValue(forKey: key) == nil ? "NOT_FOUND\r\n" : "DELETED\r\n")
        case 14:
            send("nonsense\r\nget \(String(repeating: "k", count: 251))\r\n")
            expect("ERROR\r\nCLIENT_ERROR bad command line format\r\n")
        case 15:
            send(
                "set l0 0 0 \(Self.itemBytesMax + 1)\r\n",
                [UInt8](repeating: 10, count: Self.itemBytesMax + 1) + [13, 10])
            expect("SERVER_ERROR object too large for cache\r\n")
            items["l0"] = nil
        case 16:
            send("incr none 1\r\nmn\r\nverbosity 1\r\n")
            expect("NOT_FOUND\r\nMN\r\nOK\r\n")
        case 17:
            let isSilent = Bool.random(using: &random)
            send(isSilent ? "flush_all noreply\r\n" : "flush_all\r\n")
            if !isSilent { expect("OK\r\n") }
            items = [:]
        case 18:
            send("set l1 0 0 3\r\nabcdef\r\n")
            expect("CLIENT_ERROR bad data chunk\r\nCLIENT_ERROR bad command line format\r\n")
        default:
            send("touch none 0\r\ntouch none 0 noreply\r\n")
            expect("NOT_FOUND\r\n")
        }
    }

    private mutating func appendStore() {
        let (key, value, isSilent) = (key(), value(), Bool.random(using: &random))
        let verb = ["set", "add", "replace"][Int.random(in: 0..<3, using: &random)]
        send("\(verb) \(key) 7 0 \(value.count)\(isSilent ? " noreply" : "")\r\n", value + [13, 10])
        let isStored = verb == "set" || (verb == "add") == (items[key] == nil)
        if isStored { items[key] = value }
        if !isSilent { expect(isStored ? "STORED\r\n" : "NOT_STORED\r\n") }
    }

    private mutating func appendGet() {
        let keys = (0..<[1, 1, 1, 2, 7][Int.random(in: 0..<5, using: &random)]).map { _ in key() }
        send("get \(keys.joined(separator: " "))\r\n")
        for key in keys {
            guard let value = items[key] else { continue }
            expect("VALUE \(key) 7 \(value.count)\r\n", value + [13, 10])
        }
        expect("END\r\n")
    }

    private mutating func appendMeta() {
        let key = key()
        switch Int.random(in: 0..<3, using: &random) {
        case 0:
            send("mg \(key) k v\r\n")
            guard let value = items[key] else { return expect("EN k\(key)\r\n") }
            expect("VA \(value.count) k\(key)\r\n", value + [13, 10])
        case 1:
            send("mg \(key) v q\r\nmn\r\n")
            if let value = items[key] { expect("VA \(value.count)\r\n", value + [13, 10]) }
            expect("MN\r\n")
        default:
            let value = value()
            send("ms \(key) \(value.count) F7\r\n", value + [13, 10])
            expect("HD\r\n")
            items[key] = value
        }
    }
}
