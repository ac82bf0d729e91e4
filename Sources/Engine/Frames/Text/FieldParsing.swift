// Numbers and truth values from the bytes of a field, without a String in between.

// Unsafe: reads the bytes of one field, within its bounds.

package enum FieldParsing {
    typealias Field = UnsafeBufferPointer<UInt8>

    /// Decimal digits with an optional sign; nil for anything else, and beyond 64 bits.
    @inline(__always)
    static func integer(_ field: Field) -> Int64? {
        var at = 0
        let isNegative = field.count > 0 && field[0] == UInt8(ascii: "-")
        if field.count > 0, isNegative || field[0] == UInt8(ascii: "+") { at = 1 }
        guard at < field.count else { return nil }
        guard field.count &- at <= 18 else { return longInteger(field, from: at, isNegative: isNegative) }
        var number: Int64 = 0  // 18 digits fit
        while at < field.count {
            let digit = field[at] &- 48
            guard digit < 10 else { return nil }
            number = number &* 10 &+ Int64(digit)
            at &+= 1
        }
        return isNegative ? 0 &- number : number
    }

    private static func longInteger(_ field: Field, from start: Int, isNegative: Bool) -> Int64? {
        var number: Int64 = 0
        for byte in field[start...] {
            let digit = byte &- 48
            guard digit < 10 else { return nil }
            let (scaled, overflow) = number.multipliedReportingOverflow(by: 10)
            let (next, overflow2) = scaled.subtractingReportingOverflow(Int64(digit))  // negative reaches further
            guard !overflow, !overflow2 else { return nil }
            number = next
        }
        if isNegative { return number }
        return number == .min ? nil : -number
    }

    /// Decimal notation with optional fraction and exponent, or nan, inf, infinity. Correctly rounded.
    static func double(_ field: Field) -> Double? {
        var at = 0
        let isNegative = field.count > 0 && field[0] == UInt8(ascii: "-")
        if field.count > 0, isNegative || field[0] == UInt8(ascii: "+") { at = 1 }
        var digits = 0
        var mantissa: UInt64 = 0
        var fractionDigits = 0
        var sawPoint = false
        while at < field.count {
            let byte = field[at]
            if byte &- 48 < 10 {
                mantissa = mantissa &* 10 &+ UInt64(byte &- 48)
                digits &+= 1
                if sawPoint { fractionDigits &+= 1 }
            } else if byte == UInt8(ascii: "."), !sawPoint {
                sawPoint = true
            } else {
                return slowDouble(field)
            }
            at &+= 1
        }
        guard digits > 0 else { return nil }
        // Both are exact doubles, so that one division rounds once: Clinger's fast path.
        guard digits <= 15, fractionDigits <= 15 else { return slowDouble(field) }
        let number = Double(mantissa) / powersOfTen[fractionDigits]
        return isNegative ? -number : number
    }

    private static let powersOfTen: [Double] = [
        1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
    ]

    @inline(never)
    private static func slowDouble(_ field: Field) -> Double? {
        let text = String(decoding: field, as: UTF8.self).lowercased()
        let unsigned = text.first == "-" || text.first == "+" ? text.dropFirst() : text[...]
        if ["nan", "inf", "infinity"].contains(unsigned) { return Double(text) }
        guard let first = unsigned.first, first == "." || first.isASCIIDigit,
            unsigned.utf8.allSatisfy({ "0123456789.e+-".utf8.contains($0) })
        else { return nil }
        return Double(unsigned).map { text.first == "-" ? -$0 : $0 }
    }

    /// true or false in lower, upper or title case.
    static func bool(_ field: Field) -> Bool? {
        switch field.count {
        case 4: matches(field, "true") ? true : nil
        case 5: matches(field, "false") ? false : nil
        default: nil
        }
    }

    private static func matches(_ field: Field, _ word: StaticString) -> Bool {
        let isUpper = field[1] < 0x60
        for index in 0..<field.count {
            guard field[index] | 0x20 == word.utf8Start[index] else { return false }
            if index > 0, (field[index] < 0x60) != isUpper { return false }
        }
        return !(isUpper && field[0] >= 0x60)
    }

    /// `NA` or nothing.
    @inline(__always)
    static func isNull(_ field: Field) -> Bool {
        field.count == 0 || (field.count == 2 && field[0] == UInt8(ascii: "N") && field[1] == UInt8(ascii: "A"))
    }

    /// Without the spaces and tabs around it.
    @inline(__always)
    static func trimmed(_ field: Field) -> Field {
        var (start, end) = (0, field.count)
        while start < end, isSpace(field[start]) { start &+= 1 }
        while end > start, isSpace(field[end &- 1]) { end &-= 1 }
        return Field(rebasing: field[start..<end])
    }

    @inline(__always)
    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    /// The field as an error message shows it: at most 40 characters, in quotes.
    static func shown(_ field: Field) -> String {
        let text = String(decoding: field.prefix(160), as: UTF8.self)
        return text.count > 40 || field.count > 160 ? "'\(text.prefix(40))…'" : "'\(text)'"
    }
}

extension Character {
    fileprivate var isASCIIDigit: Bool { ("0"..."9").contains(self) }
}
