// A filter compiled against a column's type: an interval or a set of keys, or a test of strings.

import CLinux

/// What a row's value must satisfy; a null satisfies only `isNull`. Keys are the integers themselves, or a double's
/// `orderedKey`.
enum Predicate: Sendable {
    case isNull
    case notNull
    case never
    case interval(Int64, Int64)
    case outside(Int64, Int64)
    /// Ascending, without repetition.
    case members([Int64])
    case text(TextPredicate)

    /// False when no row of a column with this zone can pass.
    func mayHold(in zone: Zone, rowCount: Int) -> Bool {
        switch (self, zone.bounds) {
        case (.isNull, _): zone.nullCount > 0
        case (.never, _), (_, .none): false
        case (.interval(let low, let high), .keys(let min, let max)): low <= max && high >= min
        case (.outside(let low, let high), .keys(let min, let max)): min < low || max > high
        case (.members(let keys), .keys(let min, let max)): keys.contains { $0 >= min && $0 <= max }
        default: true
        }
    }

    /// True when every row of a column with this zone passes.
    func alwaysHolds(in zone: Zone) -> Bool {
        guard zone.nullCount == 0 else { return false }
        switch (self, zone.bounds) {
        case (.notNull, _): return true
        case (.interval(let low, let high), .keys(let min, let max)): return low <= min && high >= max
        case (.outside(let low, let high), .keys(let min, let max)): return high < min || low > max
        default: return false
        }
    }
}

enum TextPredicate: Sendable {
    case equal([UInt8])
    case notEqual([UInt8])
    case less([UInt8])
    case lessOrEqual([UInt8])
    case greater([UInt8])
    case greaterOrEqual([UInt8])
    case between([UInt8], [UInt8])
    case members(Set<[UInt8]>)
    case like(LikePattern)

    func holds(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        switch self {
        case .equal(let text): bytes.count == text.count && bytes.elementsEqual(text)
        case .notEqual(let text): !(bytes.count == text.count && bytes.elementsEqual(text))
        case .less(let text): bytes.lexicographicallyPrecedes(text)
        case .lessOrEqual(let text): !text.lexicographicallyPrecedes(bytes)
        case .greater(let text): text.lexicographicallyPrecedes(bytes)
        case .greaterOrEqual(let text): !bytes.lexicographicallyPrecedes(text)
        case .between(let low, let high):
            !bytes.lexicographicallyPrecedes(low) && !high.lexicographicallyPrecedes(bytes)
        case .members(let texts): texts.contains(Array(bytes))
        case .like(let pattern): pattern.matches(bytes)
        }
    }
}

/// `%` any characters, `_` one (of UTF-8), `\` takes the next character literally.
struct LikePattern: Sendable, Hashable {
    static let bytesMax = 4_096

    /// What stands before, between and after the `%`, at least one; some may be empty.
    private let pieces: [LikePiece]

    init(_ text: [UInt8]) {
        var pieces: [LikePiece] = []
        var parts: [UInt8?] = []
        var at = 0
        while at < text.count {
            switch text[at] {
            case UInt8(ascii: "%"):
                pieces.append(LikePiece(parts))
                parts = []
            case UInt8(ascii: "_"): parts.append(nil)
            case UInt8(ascii: "\\") where at + 1 < text.count:
                at += 1
                parts.append(text[at])
            default: parts.append(text[at])
            }
            at += 1
        }
        pieces.append(LikePiece(parts))
        self.pieces = pieces
    }

    /// Each piece is taken where it ends first: no later one can find more room. Cost: in proportion to the text; for a piece
    /// with `_` up to 64 times that.
    func matches(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard var at = pieces[0].end(in: bytes, from: 0) else { return false }
        guard pieces.count > 1 else { return at == bytes.count }
        for piece in pieces[1..<(pieces.count - 1)] {
            guard let end = piece.firstEnd(in: bytes, from: at) else { return false }
            at = end
        }
        return pieces[pieces.count - 1].isAtEnd(of: bytes, from: at)
    }
}

/// Characters of a pattern between two `%`.
private struct LikePiece: Sendable, Hashable {
    /// nil: any one character.
    private let parts: [UInt8?]
    /// The parts where there is no `_`; else nil.
    private let literal: [UInt8]?
    /// For each byte, the parts that may begin with it, a bit each: of a long piece with a `_`. Else empty.
    private let masks: [UInt64]
    /// Which parts are a `_`; empty as well.
    private let anyOnes: [UInt64]
    /// Pieces up to this are tried place by place.
    private static let shortPartsMax = 32

    init(_ parts: [UInt8?]) {
        self.parts = parts
        let bytes = parts.compactMap(\.self)
        literal = bytes.count == parts.count ? bytes : nil
        guard bytes.count < parts.count, parts.count > Self.shortPartsMax else {
            masks = []
            anyOnes = []
            return
        }
        let words = (parts.count + 63) / 64
        var masks = [UInt64](repeating: 0, count: 256 * words)
        var anyOnes = [UInt64](repeating: 0, count: words)
        for (index, part) in parts.enumerated() {
            let (word, bit) = (index / 64, UInt64(1) << UInt64(index % 64))
            if let part {
                masks[Int(part) * words + word] |= bit
            } else {
                anyOnes[word] |= bit
                for byte in 0..<256 { masks[byte * words + word] |= bit }
            }
        }
        self.masks = masks
        self.anyOnes = anyOnes
    }

    /// Where it ends when it begins at `start`; nil when it is not there.
    func end(in bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Int? {
        var at = start
        for part in parts {
            guard at < bytes.count else { return nil }
            if let part {
                guard bytes[at] == part else { return nil }
                at += 1
            } else {
                at = Self.characterEnd(bytes, at)
            }
        }
        return at
    }

    /// Where the first of its places from `start` on ends; nil when there is none.
    func firstEnd(in bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Int? {
        guard !parts.isEmpty else { return start }
        guard let base = bytes.baseAddress, bytes.count - start >= parts.count else { return nil }
        guard let literal else {
            if !masks.isEmpty { return search(bytes, from: start, toTheEnd: false) }
            for place in start..<bytes.count { if let end = end(in: bytes, from: place) { return end } }
            return nil
        }
        guard let found = linux_find(base + start, bytes.count - start, literal, literal.count) else { return nil }
        return UnsafeRawPointer(base).distance(to: found) + literal.count
    }

    /// Whether one of its places from `start` on ends with the text.
    func isAtEnd(of bytes: UnsafeBufferPointer<UInt8>, from start: Int) -> Bool {
        guard !parts.isEmpty else { return true }
        guard bytes.count - start >= parts.count else { return false }
        guard let literal else {
            if !masks.isEmpty { return search(bytes, from: start, toTheEnd: true) != nil }
            return (start..<bytes.count).contains { end(in: bytes, from: $0) == bytes.count }
        }
        return bytes[(bytes.count - literal.count)...].elementsEqual(literal)
    }

    /// Goes from all places at once: of what has been read, bit i says that the parts up to i match what was read last. A `_`
    /// keeps its bit, and no part comes after it, while its character goes on.
    private func search(_ bytes: UnsafeBufferPointer<UInt8>, from start: Int, toTheEnd: Bool) -> Int? {
        let words = anyOnes.count
        let last = UInt64(1) << UInt64((parts.count - 1) % 64)
        let endsInAnyOne = anyOnes[words - 1] & last != 0
        return withUnsafeTemporaryAllocation(of: UInt64.self, capacity: words) { state -> Int? in
            state.initialize(repeating: 0)
            for at in start..<bytes.count {
                let row = Int(bytes[at]) * words
                let goesOn = bytes[at] & 0xC0 == 0x80
                var carry: UInt64 = 1
                for word in 0..<words {
                    let kept = goesOn ? state[word] & anyOnes[word] : 0
                    let done = state[word] & ~kept
                    state[word] = (((done << 1) | carry) & masks[row + word]) | kept
                    carry = done >> 63
                }
                if !toTheEnd, state[words - 1] & last != 0 {
                    return endsInAnyOne ? Self.characterEnd(bytes, at) : at + 1
                }
            }
            return toTheEnd && state[words - 1] & last != 0 ? bytes.count : nil
        }
    }

    private static func characterEnd(_ bytes: UnsafeBufferPointer<UInt8>, _ start: Int) -> Int {
        var end = start + 1
        while end < bytes.count, bytes[end] & 0xC0 == 0x80 { end += 1 }
        return end
    }
}
