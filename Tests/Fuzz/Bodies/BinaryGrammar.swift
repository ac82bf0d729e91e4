// The form of the binary protocol's answers, written down apart from the code that writes them.

enum BinaryGrammar {
    private static let headerBytes = 24
    private static let statuses: Set<UInt64> = [0, 1, 2, 3, 4, 5, 6, 0x20, 0x21, 0x81, 0x82, 0x85, 0x86]

    /// What is no answer to these requests; nil when all is well. Answers come in the order of their requests, each repeats its
    /// opcode and opaque, and only a request for statistics has several.
    static func problem(_ answers: [UInt8], of requests: [UInt8]) -> String? {
        let asked = headers(requests)
        var at = 0
        var request = 0
        while at < answers.count {
            guard answers.count - at >= headerBytes, answers[at] == 0x81 else {
                return "an answer without a header: \(answers[at...].prefix(60))"
            }
            let bodyBytes = Int(number(answers, at + 8, 4))
            guard answers.count - at - headerBytes >= bodyBytes else { return "an answer without an end" }
            guard Int(number(answers, at + 2, 2)) + Int(answers[at + 4]) <= bodyBytes, answers[at + 5] == 0 else {
                return "a key that is longer than the body"
            }
            guard statuses.contains(number(answers, at + 6, 2)) else { return "an unknown status" }
            let echo = [answers[at + 1]] + answers[at + 12..<at + 16]
            // A list of statistics answers the same request again and again.
            while request < asked.count, asked[request] != echo { request += 1 }
            guard request < asked.count else { return "an answer that nobody asked for: \(echo)" }
            if echo[0] != 0x10 { request += 1 }
            at += headerBytes + bodyBytes
        }
        return nil
    }

    static func asksForStatistics(_ requests: [UInt8]) -> Bool { headers(requests).contains { $0[0] == 0x10 } }

    /// Opcode and opaque of each request, for as far as they can be told apart.
    private static func headers(_ requests: [UInt8]) -> [[UInt8]] {
        var headers: [[UInt8]] = []
        var at = 0
        while requests.count - at >= headerBytes, requests[at] == 0x80 {
            headers.append([requests[at + 1]] + requests[at + 12..<at + 16])
            at += headerBytes + Int(number(requests, at + 8, 4))
        }
        return headers
    }

    private static func number(_ bytes: [UInt8], _ start: Int, _ count: Int) -> UInt64 {
        bytes[start..<start + count].reduce(0) { $0 << 8 | UInt64($1) }
    }
}
