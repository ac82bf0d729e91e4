// JSON text from a value: numbers as short as they can be read back, bytes that are no UTF-8 repaired.

extension Value {
    /// Compact JSON. NaN and infinities become null, as JSON has no word for them; keys that are no strings become text.
    package var json: [UInt8] {
        var out: [UInt8] = []
        appendJSON(to: &out)
        return out
    }

    package func appendJSON(to out: inout [UInt8]) {
        switch self {
        case .null: out.append(contentsOf: "null".utf8)
        case .bool(let flag): out.append(contentsOf: (flag ? "true" : "false").utf8)
        case .int(let number): Value.append(number, to: &out)
        case .double(let number):
            if number.isWhole {
                Value.append(Int64(number), to: &out)
            } else {
                var text = Value.jsonText(of: number)
                text.withUTF8 { out.append(contentsOf: $0) }
            }
        case .bytes(let bytes): Value.appendJSONString(bytes, to: &out)
        case .array(let elements):
            out.append(UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                element.appendJSON(to: &out)
            }
            out.append(UInt8(ascii: "]"))
        case .map(let pairs):
            out.append(UInt8(ascii: "{"))
            for (index, pair) in pairs.enumerated() {
                if index > 0 { out.append(UInt8(ascii: ",")) }
                if case .bytes(let key) = pair.key {
                    Value.appendJSONString(key, to: &out)
                } else {
                    Value.appendJSONString(pair.key.json, to: &out)
                }
                out.append(UInt8(ascii: ":"))
                pair.value.appendJSON(to: &out)
            }
            out.append(UInt8(ascii: "}"))
        }
    }

    /// A whole double prints without a fraction below 2^53: 3, not 3.0.
    package static func jsonText(of number: Double) -> String {
        guard number.isFinite else { return "null" }
        if number.isWhole { return String(Int64(number)) }
        return number.description  // of -0.0 too
    }

    /// Decimal digits, without a String.
    private static func append(_ number: Int64, to out: inout [UInt8]) {
        if number < 0 { out.append(UInt8(ascii: "-")) }
        var rest = number.magnitude
        let start = out.count
        repeat {
            let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
            out.append(48 &+ UInt8(truncatingIfNeeded: digit))
            rest = quotient
        } while rest > 0
        out[start...].reverse()
    }

    private static func appendJSONString(_ bytes: [UInt8], to out: inout [UInt8]) {
        out.append(UInt8(ascii: "\""))
        defer { out.append(UInt8(ascii: "\"")) }
        if bytes.allSatisfy({ $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
            out.append(contentsOf: bytes)
            return
        }
        let needsRepair = bytes.contains { $0 >= 0x80 }
        let text = needsRepair ? Array(String(decoding: bytes, as: UTF8.self).utf8) : bytes
        for byte in text {
            switch byte {
            case UInt8(ascii: "\""): out.append(contentsOf: [UInt8(ascii: "\\"), byte])
            case UInt8(ascii: "\\"): out.append(contentsOf: [UInt8(ascii: "\\"), byte])
            case 0x0A: out.append(contentsOf: "\\n".utf8)
            case 0x0D: out.append(contentsOf: "\\r".utf8)
            case 0x09: out.append(contentsOf: "\\t".utf8)
            case 0..<0x20, 0x7F:
                let hex = Array("0123456789abcdef".utf8)
                out.append(contentsOf: "\\u00".utf8)
                out.append(hex[Int(byte >> 4)])
                out.append(hex[Int(byte & 15)])
            default: out.append(byte)
            }
        }
    }
}

extension Double {
    /// Prints as an integer; not -0.0, which would lose its sign.
    fileprivate var isWhole: Bool {
        self == rounded(.towardZero) && abs(self) < 9_007_199_254_740_992 && !(self == 0 && sign == .minus)
    }
}
