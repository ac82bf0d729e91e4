// A filter compiled against a column's type: an interval or a set of keys, or a test of strings.

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
    private enum Part: Hashable, Sendable {
        case byte(UInt8)
        case anyOne
        case anyMany
    }
    private let parts: [Part]

    init(_ text: [UInt8]) {
        var parts: [Part] = []
        var at = 0
        while at < text.count {
            switch text[at] {
            case UInt8(ascii: "%"): if parts.last != .anyMany { parts.append(.anyMany) }
            case UInt8(ascii: "_"): parts.append(.anyOne)
            case UInt8(ascii: "\\") where at + 1 < text.count:
                at += 1
                parts.append(.byte(text[at]))
            default: parts.append(.byte(text[at]))
            }
            at += 1
        }
        self.parts = parts
    }

    /// Cost: at worst the product of both lengths; going back only to the last `%` is enough.
    func matches(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        var (at, part) = (0, 0)
        var retry: (at: Int, part: Int)?
        while at < bytes.count {
            if part < parts.count, parts[part] == .anyMany {
                part += 1
                retry = (at, part)
            } else if part < parts.count, parts[part] == .anyOne {
                at = Self.characterEnd(bytes, at)
                part += 1
            } else if part < parts.count, parts[part] == .byte(bytes[at]) {
                at += 1
                part += 1
            } else if let last = retry {
                at = last.at + 1
                part = last.part
                retry = (at, part)
            } else {
                return false
            }
        }
        return parts[part...].allSatisfy { $0 == .anyMany }
    }

    private static func characterEnd(_ bytes: UnsafeBufferPointer<UInt8>, _ start: Int) -> Int {
        var end = start + 1
        while end < bytes.count, bytes[end] & 0xC0 == 0x80 { end += 1 }
        return end
    }
}
