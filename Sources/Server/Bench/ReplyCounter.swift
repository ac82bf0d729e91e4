// Counts whole replies in a stream of bytes without keeping them: memcached's protocols and redis's.
//
// Unsafe: reads a raw buffer, within its count.

import Glibc

/// Pure: feed bytes, get how many replies ended in them. Notes errors and misses, so that no benchmark measures those.
package struct ReplyCounter {
    package private(set) var errors = 0
    package private(set) var misses = 0
    package private(set) var firstError = ""

    private let wire: BenchWorkload.Wire
    /// What has come of a line whose end has not, or of a binary header.
    private var cut: [UInt8] = []
    /// Bytes of a value still to be passed over, its line end included.
    private var toSkip = 0
    /// redis: elements of an array still to come.
    private var elements = 0
    /// memcached: values seen since the last END.
    private var values = 0

    package init(_ wire: BenchWorkload.Wire) { self.wire = wire }

    package mutating func feed(_ bytes: UnsafeRawBufferPointer) -> Int {
        if wire == .binary { return feedBinary(bytes) }
        guard let base = bytes.baseAddress else { return 0 }
        var replies = 0
        var at = 0
        while at < bytes.count {
            if toSkip > 0 {
                at += skip(of: bytes.count - at)
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

    /// How many of the next bytes are a value's.
    private mutating func skip(of count: Int) -> Int {
        let skipped = min(toSkip, count)
        toSkip -= skipped
        return skipped
    }

    // MARK: The binary protocol

    /// A reply ends with its body; one to a quiet get is a part of the one that ends its list.
    private mutating func feedBinary(_ bytes: UnsafeRawBufferPointer) -> Int {
        var replies = 0
        var at = 0
        while at < bytes.count {
            if toSkip > 0 {
                at += skip(of: bytes.count - at)
                continue
            }
            if cut.isEmpty, bytes.count - at >= BinaryHeader.bytes {
                replies += binary(UnsafeRawBufferPointer(rebasing: bytes[at..<at + BinaryHeader.bytes]))
                at += BinaryHeader.bytes
                continue
            }
            let piece = bytes[at..<min(bytes.count, at + BinaryHeader.bytes - cut.count)]
            cut.append(contentsOf: piece)
            at = piece.endIndex
            guard cut.count == BinaryHeader.bytes else { break }
            replies += cut.withUnsafeBytes { binary($0) }
            cut.removeAll(keepingCapacity: true)
        }
        return replies
    }

    private mutating func binary(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        let header = BinaryHeader(base)
        toSkip = header.bodyBytes
        let status = UInt16(bytes[6]) << 8 | UInt16(bytes[7])
        if status == BinaryStatus.notFound.rawValue {
            misses += 1
        } else if status != BinaryStatus.done.rawValue || bytes[0] != BinaryMagic.reply {
            errors += 1
            if firstError.isEmpty { firstError = "status \(status)" }
        }
        return header.echo.isQuiet ? 0 : 1
    }

    // MARK: Lines

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
