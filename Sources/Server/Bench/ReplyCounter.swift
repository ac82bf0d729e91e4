// Counts whole replies in a stream of bytes without keeping them: memcached's text protocol and redis's.

/// Pure: feed bytes, get how many replies ended in them. Notes errors and misses, so that no benchmark measures those.
package struct ReplyCounter {
    package private(set) var errors = 0
    package private(set) var misses = 0
    package private(set) var firstError = ""

    private let wire: BenchWorkload.Wire
    private var line: [UInt8] = []
    /// Bytes of a value still to be passed over, its line end included.
    private var toSkip = 0
    /// redis: elements of an array still to come.
    private var elements = 0
    /// memcached: values seen since the last END.
    private var values = 0

    package init(_ wire: BenchWorkload.Wire) {
        self.wire = wire
        line.reserveCapacity(512)
    }

    package mutating func feed(_ bytes: UnsafeRawBufferPointer) -> Int {
        var replies = 0
        var at = 0
        while at < bytes.count {
            if toSkip > 0 {
                let skipped = min(toSkip, bytes.count - at)
                toSkip -= skipped
                at += skipped
                if toSkip == 0, wire == .redis { replies += endElement() }
                continue
            }
            let rest = UnsafeRawBufferPointer(rebasing: bytes[at...])
            guard let end = rest.firstIndex(of: UInt8(ascii: "\n")) else {
                line.append(contentsOf: rest)
                break
            }
            line.append(contentsOf: rest[..<end])
            at += end + 1
            replies += wire == .memcached ? memcachedLine() : redisLine()
            line.removeAll(keepingCapacity: true)
        }
        return replies
    }

    private mutating func memcachedLine() -> Int {
        if line.starts(with: Array("VALUE ".utf8)) {
            values += 1
            toSkip = lastNumber() + 2
            return 0
        }
        if line.starts(with: Array("END".utf8)) {
            if values == 0 { misses += 1 }
            values = 0
        } else if line.starts(with: Array("SERVER_ERROR".utf8)) || line.starts(with: Array("CLIENT_ERROR".utf8))
            || line.starts(with: Array("ERROR".utf8))
        {
            note()
        }
        return 1
    }

    private mutating func redisLine() -> Int {
        switch line.first {
        case UInt8(ascii: "$"):
            let length = signedNumber()
            guard length >= 0 else {
                misses += 1
                return endElement()
            }
            toSkip = length + 2
            return 0
        case UInt8(ascii: "*"):
            elements = max(0, signedNumber())
            return elements == 0 ? 1 : 0
        case UInt8(ascii: "-"): note()
        default: break
        }
        return endElement()
    }

    /// An element of an array is no reply of its own, but the last one.
    private mutating func endElement() -> Int {
        guard elements > 1 else {
            elements = 0
            return 1
        }
        elements -= 1
        return 0
    }

    private mutating func note() {
        errors += 1
        if firstError.isEmpty { firstError = String(decoding: line, as: UTF8.self) }
    }

    private func lastNumber() -> Int {
        let digits = line.reversed().drop { $0 == 0x0D }.prefix { (48...57).contains($0) }
        return digits.reversed().reduce(0) { $0 * 10 + Int($1 - 48) }
    }

    private func signedNumber() -> Int {
        Int(String(decoding: line.dropFirst().filter { $0 != 0x0D }, as: UTF8.self)) ?? 0
    }
}
