// Counts whole replies in a stream of bytes without keeping them: memcached's text protocol and redis's.
//
// Unsafe: reads a raw buffer, within its count.

import Glibc

/// Pure: feed bytes, get how many replies ended in them. Notes errors and misses, so that no benchmark measures those.
package struct ReplyCounter {
    package private(set) var errors = 0
    package private(set) var misses = 0
    package private(set) var firstError = ""

    private let wire: BenchWorkload.Wire
    /// What has come of a line whose end has not.
    private var cut: [UInt8] = []
    /// Bytes of a value still to be passed over, its line end included.
    private var toSkip = 0
    /// redis: elements of an array still to come.
    private var elements = 0
    /// memcached: values seen since the last END.
    private var values = 0

    package init(_ wire: BenchWorkload.Wire) { self.wire = wire }

    package mutating func feed(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
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
            guard let found = memchr(base + at, 0x0A, bytes.count - at) else {
                cut.append(contentsOf: bytes[at...])
                break
            }
            let lineEnd = base.distance(to: UnsafeRawPointer(found))
            if cut.isEmpty {
                replies += count(UnsafeRawBufferPointer(rebasing: bytes[at..<lineEnd]))
            } else {
                var line: [UInt8] = []
                swap(&line, &cut)
                line.append(contentsOf: bytes[at..<lineEnd])
                replies += line.withUnsafeBytes { count($0) }
            }
            at = lineEnd + 1
        }
        return replies
    }

    /// A line without its line feed.
    private mutating func count(_ line: UnsafeRawBufferPointer) -> Int {
        wire == .memcached ? memcached(line) : redis(line)
    }

    private mutating func memcached(_ line: UnsafeRawBufferPointer) -> Int {
        // A first letter decides, where it can: this runs for each line.
        switch line.first {
        case UInt8(ascii: "V") where line.starts(with: "VALUE ".utf8):
            values += 1
            toSkip = lastNumber(line) + 2
            return 0
        case UInt8(ascii: "E") where line.starts(with: "END".utf8):
            if values == 0 { misses += 1 }
            values = 0
        case UInt8(ascii: "S") where line.starts(with: "SERVER_ERROR".utf8),
            UInt8(ascii: "C") where line.starts(with: "CLIENT_ERROR".utf8),
            UInt8(ascii: "E") where line.starts(with: "ERROR".utf8):
            note(line)
        default: break
        }
        return 1
    }

    private mutating func redis(_ line: UnsafeRawBufferPointer) -> Int {
        switch line.first {
        case UInt8(ascii: "$"):
            let length = signedNumber(line)
            guard length >= 0 else {
                misses += 1
                return endElement()
            }
            toSkip = length + 2
            return 0
        case UInt8(ascii: "*"):
            elements = max(0, signedNumber(line))
            return elements == 0 ? 1 : 0
        case UInt8(ascii: "-"): note(line)
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

    private mutating func note(_ line: UnsafeRawBufferPointer) {
        errors += 1
        if firstError.isEmpty { firstError = String(decoding: line, as: UTF8.self) }
    }

    /// The number at the line's end, a carriage return behind it or not.
    private func lastNumber(_ line: UnsafeRawBufferPointer) -> Int {
        var at = line.count
        if at > 0, line[at - 1] == 0x0D { at -= 1 }
        var (number, unit) = (0, 1)
        while at > 0, line[at - 1] &- 0x30 < 10 {
            at -= 1
            number += Int(line[at] &- 0x30) * unit
            unit *= 10
        }
        return number
    }

    /// The number behind the line's first byte.
    private func signedNumber(_ line: UnsafeRawBufferPointer) -> Int {
        let number = lastNumber(line)
        return line.count > 1 && line[1] == UInt8(ascii: "-") ? -number : number
    }
}
