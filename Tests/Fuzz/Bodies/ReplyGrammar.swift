// The grammar of memcached's answers, written down apart from the code that writes them.

enum ReplyGrammar {
    private static let lines: Set<String> = [
        "END", "STORED", "NOT_STORED", "EXISTS", "NOT_FOUND", "DELETED", "TOUCHED", "OK", "ERROR", "RESET", "MN", "EN",
    ]
    private static let beginnings = [
        "HD", "NS", "EX", "NF", "EN ", "ME ", "CLIENT_ERROR ", "SERVER_ERROR ", "ERROR", "VERSION ", "STAT ", "PREFIX ",
        "BADCLASS ",
        "NOSPARE ", "SAME ", "MEMLIMIT_", "BUSY ",
    ]

    /// What is no answer of memcached's; nil when all is well.
    static func problem(_ bytes: [UInt8]) -> String? { walk(bytes).problem }

    /// How many commands the answers are for: items come before the END that they belong to.
    static func count(_ bytes: [UInt8]) -> Int { walk(bytes).count }

    private static func walk(_ bytes: [UInt8]) -> (count: Int, problem: String?) {
        var at = 0
        var count = 0
        while at < bytes.count {
            // Lists of keys come before their end, too; their lines may end in a line feed alone.
            if let end = bytes[at...].firstIndex(of: 0x0A), isListed(bytes[at...end]) {
                at = end + 1
                continue
            }
            guard let end = bytes[at...].firstIndex(of: 0x0A), end > at, bytes[end - 1] == 0x0D else {
                return (count, "an answer without an end: \(shown(bytes[at...]))")
            }
            let line = bytes[at..<(end - 1)]
            at = end + 1
            let isItem = line.starts(with: "VALUE ".utf8)
            if isItem || line.starts(with: "VA ".utf8) {
                let words = line.split(separator: 0x20, omittingEmptySubsequences: false)
                // The key comes first, and has no blank in it.
                let length = words.count > (isItem ? 3 : 1) ? words[isItem ? 3 : 1] : []
                guard let valueBytes = Int(String(decoding: length, as: UTF8.self)), valueBytes >= 0,
                    at + valueBytes + 2 <= bytes.count, bytes[at + valueBytes] == 0x0D,
                    bytes[at + valueBytes + 1] == 0x0A
                else { return (count, "a value of another length: \(shown(line))") }
                at += valueBytes + 2
                if !isItem { count += 1 }
            } else {
                guard isKnown(line) else { return (count, "no answer of memcached's: \(shown(line))") }
                count += 1
            }
        }
        return (count, nil)
    }

    private static func isListed(_ line: ArraySlice<UInt8>) -> Bool {
        line.starts(with: "key=".utf8) || (line.starts(with: "mg ".utf8) && line.dropLast().last == 0x0D)
            || line.starts(with: "ITEM ".utf8)
    }

    private static func isKnown(_ line: ArraySlice<UInt8>) -> Bool {
        // Keys of any bytes may be in it: only its beginning is text.
        if !line.isEmpty, line.count <= 20, line.allSatisfy({ (0x30...0x39).contains($0) }) { return true }
        if line.count <= 12, lines.contains(String(decoding: line, as: UTF8.self)) { return true }
        return beginnings.contains { line.starts(with: $0.utf8) }
    }

    private static func shown(_ bytes: ArraySlice<UInt8>) -> String {
        String(decoding: bytes.prefix(80), as: UTF8.self).debugDescription
    }
}
