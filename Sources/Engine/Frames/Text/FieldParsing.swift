// Numbers and truth values from the bytes of a field, without a String in between.

// Unsafe: reads the bytes of one field, within its bounds; lets C print a number into a buffer that has room for it.

import Glibc

package enum FieldParsing {
    typealias Field = UnsafeBufferPointer<UInt8>

    /// A whole number as one would write it: no plus, no leading zero, no `-0`, 64 bits. Nil for anything else, so that what
    /// is read as a number prints as it was written.
    @inline(__always)
    static func integer(_ field: Field) -> Int64? {
        let isNegative = field.count > 0 && field[0] == UInt8(ascii: "-")
        var at = isNegative ? 1 : 0
        guard at < field.count else { return nil }
        if field[at] == UInt8(ascii: "0") { return field.count == 1 ? 0 : nil }
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

    /// Decimal notation that a double gives back: a fraction or an exponent that is no part of a name (see
    /// `DecimalShape.mayBeName`), no plus, no leading zero, at most 17 significant
    /// digits, neither beyond a double's range nor below it, that print again as they were written; whole numbers up to 2^53;
    /// or nan, inf, infinity. Correctly rounded. Nil for anything else.
    /// `isNumber`: it is known to be no name, as JSON writes it without quotes.
    static func double(_ field: Field, isNumber: Bool = false) -> Double? {
        let isNegative = field.count > 0 && field[0] == UInt8(ascii: "-")
        var at = isNegative ? 1 : 0
        if field.count &- at > 1, field[at] == UInt8(ascii: "0"), field[at &+ 1] &- 48 < 10 { return nil }
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
                return slowDouble(field, isNumber)
            }
            at &+= 1
        }
        guard digits > 0 else { return nil }
        // Both are exact doubles, so that one division rounds once: Clinger's fast path.
        guard digits <= 15, fractionDigits <= 15 else { return slowDouble(field, isNumber) }
        guard sawPoint || mantissa > 0 || !isNegative else { return nil }  // -0 is no whole number
        let number = Double(mantissa) / powersOfTen[fractionDigits]
        return isNegative ? -number : number
    }

    private static let powersOfTen: [Double] = [
        1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
    ]

    @inline(never)
    private static func slowDouble(_ field: Field, _ isNumber: Bool) -> Double? {
        guard let shape = DecimalShape(field) else { return notFinite(field) }
        guard shape.isFractional else { return integer(field).flatMap(exactDouble) }
        guard isNumber || !shape.mayBeName else { return nil }
        guard shape.significantDigits <= DecimalShape.significantDigitsMax,
            let number = Double(String(decoding: field, as: UTF8.self)), number.isFinite
        else { return nil }
        guard number != 0 else { return shape.significantDigits == 0 ? number : nil }
        return givesBack(shape, number) ? number : nil
    }

    /// Whether the digits are those of the number as it is printed: the fewest that tell it from its neighbours, or the 17
    /// that C prints. Fifteen always are, but for the least of all numbers, which have fewer bits.
    private static func givesBack(_ shape: DecimalShape, _ number: Double) -> Bool {
        if shape.significantDigits <= 15, number.isNormal { return true }
        var shortest = number.description
        let isShortest = shortest.withUTF8 { DecimalShape($0)?.isSameNumber(as: shape) == true }
        return isShortest || isPrinted(shape, number)
    }

    private static func isPrinted(_ shape: DecimalShape, _ number: Double) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { room in
            let text = room.bindMemory(to: CChar.self)
            let count = withVaList([number]) { vsnprintf(text.baseAddress, text.count, "%.17g", $0) }
            guard count > 0, Int(count) < text.count else { return false }
            let printed = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(text)[..<Int(count)])
            return printed.withMemoryRebound(to: UInt8.self) { DecimalShape($0)?.isSameNumber(as: shape) == true }
        }
    }

    private static func notFinite(_ field: Field) -> Double? {
        guard field.count <= 9 else { return nil }
        switch String(decoding: field, as: UTF8.self).lowercased() {
        case "nan": return .nan
        case "inf", "infinity": return .infinity
        case "-inf", "-infinity": return -.infinity
        default: return nil
        }
    }

    /// Whole numbers up to which each has a double of its own.
    static let exactIntegerMax: Int64 = 1 << 53

    static func exactDouble(_ number: Int64) -> Double? {
        number.magnitude <= exactIntegerMax.magnitude ? Double(number) : nil
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

    /// The field as an error message shows it: at most 40 characters, in quotes, on one line.
    static func shown(_ field: Field) -> String {
        let text = TextEncoding.escaped(Field(rebasing: field[..<min(160, field.count)]))
        return text.count > 40 || field.count > 160 ? "'\(text.prefix(40))…'" : "'\(text)'"
    }
}

/// What a decimal number looks like, whatever its value: `-12.50e+3`.
struct DecimalShape {
    static let significantDigitsMax = 17

    /// It has a point or an exponent.
    private(set) var isFractional = false
    /// Whole digits, an `e` and more digits, as `10E4` and `1e05` have, are more often the number of a part or a place than a
    /// number; programs print a point or a sign there, but for some from 1e16 on, with one digit before a small e.
    private(set) var mayBeName = false
    /// Digits from the first one that is not zero to the last one that is not.
    private(set) var significantDigits = 0
    /// The significant digits as a number, where they fit; and the power of ten that it is to be multiplied by.
    private var mantissa: UInt64 = 0
    private var power = 0

    /// Whether both are the same decimal number but for its sign, however written. Where the digits fit.
    func isSameNumber(as other: DecimalShape) -> Bool {
        significantDigits == other.significantDigits && mantissa == other.mantissa
            && (mantissa == 0 || power == other.power)
    }

    /// Nil when it is no decimal number, which has no plus and no leading zero.
    init?(_ field: UnsafeBufferPointer<UInt8>) {
        var at = field.first == UInt8(ascii: "-") ? 1 : 0
        let start = at
        var (digits, zeros, fractionDigits) = (0, 0, 0)
        while at < field.count {
            let byte = field[at]
            if byte == UInt8(ascii: ".") {
                guard !isFractional else { return nil }
                isFractional = true
            } else {
                guard byte &- 48 < 10 else { break }
                digits += 1
                if isFractional { fractionDigits += 1 }
                if byte != 48 {
                    for _ in 0..<(significantDigits > 0 ? zeros : 0) { mantissa = mantissa &* 10 }
                    mantissa = mantissa &* 10 &+ UInt64(byte &- 48)
                }
                zeros = byte == 48 ? zeros + 1 : 0
                if byte != 48 || significantDigits > 0 { significantDigits += 1 }
            }
            at += 1
        }
        significantDigits = max(0, significantDigits - zeros)
        let hasLeadingZero = at - start > 1 && field[start] == 48 && field[start + 1] &- 48 < 10
        guard digits > 0, !hasLeadingZero else { return nil }
        power = zeros - fractionDigits
        guard at < field.count else { return }
        guard field[at] | 0x20 == UInt8(ascii: "e") else { return nil }
        let (hasPoint, letter) = (isFractional, field[at])
        isFractional = true
        at += 1
        let hasSign = at < field.count && (field[at] == UInt8(ascii: "+") || field[at] == UInt8(ascii: "-"))
        let isSmall = at < field.count && field[at] == UInt8(ascii: "-")
        if at < field.count, field[at] == UInt8(ascii: "+") || isSmall { at += 1 }
        guard at < field.count, field[at...].allSatisfy({ $0 &- 48 < 10 }) else { return nil }
        // Far beyond any double it need not be exact.
        let exponent = field[at...].reduce(0) { min($0 * 10 + Int($1 &- 48), 1 << 40) }
        power += isSmall ? -exponent : exponent
        let isPrinted =
            digits == 1 && significantDigits == 1 && letter == UInt8(ascii: "e") && exponent >= 16 && field[at] != 48
        mayBeName = !hasPoint && !hasSign && !isPrinted
    }
}
