// Times as microseconds since 1970 UTC: read from and written as ISO 8601, by arithmetic alone.

/// Conversions between ISO 8601 text and microseconds since 1970 UTC (proleptic Gregorian, years 0000 to 9999 in text).
package enum Timestamp {
    /// Reads `2013-01-01`, `2013-01-01 05:00`, `2013-01-01T05:00:00.25Z`, `…+02:00`. Without an offset it is UTC.
    /// Nil for anything else, and for what microseconds of the years 0000 to 9999 can't give back: a fraction with more than
    /// six digits (zeros aside), a leap second. What is kept is the instant, not the offset. Cost: one pass.
    package static func parse(_ text: UnsafeBufferPointer<UInt8>) -> Int64? {
        var cursor = TimeCursor(text)
        guard let year = cursor.digits(4), cursor.take("-"), let month = cursor.digits(2), cursor.take("-"),
            let day = cursor.digits(2), (1...12).contains(month), day >= 1, day <= daysIn(month: month, year: year)
        else { return nil }
        let midnight = days(year: year, month: month, day: day) * microsecondsPerDay
        if cursor.atEnd { return midnight }
        guard cursor.take("T") || cursor.take("t") || cursor.take(" "), let time = cursor.timeOfDay(),
            let offset = cursor.offset(), cursor.atEnd
        else { return nil }
        let instant = midnight + time - offset
        return printable.contains(instant) ? instant : nil  // an offset may lead out of the years
    }

    package static func parse(_ text: String) -> Int64? {
        var copy = text
        return copy.withUTF8 { parse($0) }
    }

    /// The microseconds of a year, a month, a day, an hour (`2013`, `2013-03`, `2013-03-01`, `2013-03-01T05`), or from a time
    /// to the one before another (`2013-03-01/2013-03-08`). Nil for anything else, and for an end before its start.
    package static func period(_ text: String) -> Range<Int64>? {
        let ends = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        if ends.count == 2 {
            guard let start = parse(ends[0]), let end = parse(ends[1]), start <= end else { return nil }
            return start..<end
        }
        switch text.utf8.count {
        case 4:
            guard let start = parse(text + "-01-01") else { return nil }
            return start..<Self.start(ofMonth: month(of: start) + 12)
        case 7:
            guard let start = parse(text + "-01") else { return nil }
            return start..<Self.start(ofMonth: month(of: start) + 1)
        case 10:
            guard let start = parse(text) else { return nil }
            return start..<start + microsecondsPerDay
        case 13:
            guard let start = parse(text + ":00") else { return nil }
            return start..<start + 3_600_000_000
        default: return nil
        }
    }

    /// `2013-01-01T05:00:00Z`, with six digits of fraction only where there is one; years outside 0000-9999 get a sign.
    package static func text(_ microseconds: Int64) -> String {
        let (day, rest) = microseconds.flooredQuotient(by: microsecondsPerDay)
        let (year, month, dayOfMonth) = date(days: day)
        let (seconds, fraction) = rest.quotientAndRemainder(dividingBy: 1_000_000)
        var out = (0...9999).contains(year) ? padded(year, 4) : (year < 0 ? "-" : "+") + padded(abs(year), 6)
        out += "-\(padded(month, 2))-\(padded(dayOfMonth, 2))T"
        out += "\(padded(seconds / 3600, 2)):\(padded(seconds / 60 % 60, 2)):\(padded(seconds % 60, 2))"
        if fraction != 0 { out += "." + padded(fraction, 6) }
        return out + "Z"
    }

    static let microsecondsPerDay: Int64 = 86_400_000_000

    /// The years 0000 to 9999.
    private static let printable: ClosedRange<Int64> = -62_167_219_200_000_000...253_402_300_799_999_999

    /// Days from 1970-01-01, counting years from March so that the leap day is a year's last
    /// (H. Hinnant, "chrono-compatible low-level date algorithms").
    static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let marchYear = month <= 2 ? year - 1 : year
        let (era, yearOfEra) = marchYear.flooredQuotient(by: 400)
        let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    static func date(days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = (days + 719_468).flooredQuotient(by: 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * marchMonth + 2) / 5 + 1)
    }

    private static func daysIn(month: Int64, year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    private static func padded(_ number: Int64, _ width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.utf8.count)) + digits
    }
}

extension Int64 {
    /// Quotient towards minus infinity, and a remainder that is never negative.
    fileprivate func flooredQuotient(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
    }
}

/// Reads the fields of a time from left to right.
private struct TimeCursor {
    private let bytes: UnsafeBufferPointer<UInt8>
    private var at = 0

    init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

    var atEnd: Bool { at == bytes.count }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard at < bytes.count, bytes[at] == UInt8(ascii: character) else { return false }
        at += 1
        return true
    }

    mutating func digits(_ count: Int) -> Int64? {
        guard bytes.count - at >= count else { return nil }
        var number: Int64 = 0
        for index in at..<at + count {
            let digit = bytes[index] &- 48
            guard digit < 10 else { return nil }
            number = number * 10 + Int64(digit)
        }
        at += count
        return number
    }

    /// `05:00`, `05:00:00`, `05:00:00.123456000`, in microseconds.
    mutating func timeOfDay() -> Int64? {
        guard let hour = digits(2), take(":"), let minute = digits(2), hour < 24, minute < 60 else { return nil }
        var microseconds = (hour * 3600 + minute * 60) * 1_000_000
        guard take(":") else { return microseconds }
        guard let second = digits(2), second < 60 else { return nil }
        microseconds += second * 1_000_000
        guard take(".") || take(",") else { return microseconds }
        guard let first = digits(1) else { return nil }
        microseconds += first * 100_000
        var scale: Int64 = 10_000
        while let digit = digits(1) {
            guard scale > 0 || digit == 0 else { return nil }
            microseconds += digit * scale
            scale /= 10
        }
        return microseconds
    }

    /// `Z`, `+02:00`, `+0200`, `+02` or nothing, in microseconds east of UTC.
    mutating func offset() -> Int64? {
        if atEnd || take("Z") || take("z") { return 0 }
        let sign: Int64
        if take("+") { sign = 1 } else if take("-") { sign = -1 } else { return nil }
        guard let hours = digits(2), hours < 24 else { return nil }
        if atEnd { return sign * hours * 3_600_000_000 }
        _ = take(":")
        guard let minutes = digits(2), minutes < 60 else { return nil }
        return sign * (hours * 3600 + minutes * 60) * 1_000_000
    }
}
