// Unsigned decimals in item values, as incr and decr read and write them.
//
// Unsafe: reads and writes through raw buffers, within their counts.

package enum Decimal {
    /// The longest decimal of 64 bits.
    package static let digitsMax = 20

    /// The number a value starts with: blanks, an optional `+`, digits, then the end or a blank (whatever follows that
    /// is ignored, as decr leaves padding behind). Nil for anything else and for what does not fit into 64 bits.
    static func leadingNumber(_ text: UnsafeRawBufferPointer) -> UInt64? {
        var at = 0
        while at < text.count, isBlank(text[at]) { at += 1 }
        if at < text.count, text[at] == UInt8(ascii: "+") { at += 1 }
        let firstDigit = at
        var number: UInt64 = 0
        while at < text.count, text[at] &- UInt8(ascii: "0") < 10 {
            let (product, overflows) = number.multipliedReportingOverflow(by: 10)
            let (sum, carries) = product.addingReportingOverflow(UInt64(text[at] &- UInt8(ascii: "0")))
            if overflows || carries { return nil }
            number = sum
            at += 1
        }
        guard at > firstDigit, at == text.count || isBlank(text[at]) else { return nil }
        return number
    }

    package static func digitCount(_ number: UInt64) -> Int {
        var count = 1
        var rest = number / 10
        while rest > 0 {
            count += 1
            rest /= 10
        }
        return count
    }

    /// Writes the number's digits to the start of `target`, which has room for them; returns how many.
    @discardableResult
    package static func write(_ number: UInt64, to target: UnsafeMutableRawBufferPointer) -> Int {
        let count = digitCount(number)
        precondition(count <= target.count)
        var rest = number
        var at = count
        repeat {
            at -= 1
            target[at] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        } while at > 0
        return count
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte &- 0x09 < 5 }
}
