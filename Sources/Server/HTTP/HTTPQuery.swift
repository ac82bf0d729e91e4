// The words behind the question mark, and the parts of a path: decoded bytes, as keys may be any.

package struct HTTPQuery: Sendable {
    package let words: [(name: String, value: [UInt8])]

    /// Nil where an escape is none.
    package init?(_ text: Substring) {
        var words: [(name: String, value: [UInt8])] = []
        for word in text.utf8.split(separator: UInt8(ascii: "&")) {
            let equals = word.firstIndex(of: UInt8(ascii: "=")) ?? word.endIndex
            guard let name = Self.decoded(word[..<equals], isForm: true),
                let value = Self.decoded(word[equals...].dropFirst(), isForm: true)
            else { return nil }
            words.append((String(decoding: name, as: UTF8.self), value))
        }
        self.words = words
    }

    package func all(_ name: String) -> [[UInt8]] { words.filter { $0.name == name }.map(\.value) }

    /// The only word of that name; nil where there is none.
    package func one(_ name: String) throws(HTTPFailure) -> String? {
        let found = all(name)
        guard found.count <= 1 else { throw .badRequest("'\(name)' is given \(found.count) times: give it once") }
        return found.first.map { String(decoding: $0, as: UTF8.self) }
    }

    /// - Parameter isForm: a plus stands for a blank, as in forms.
    package static func decoded(_ text: Substring.UTF8View, isForm: Bool = false) -> [UInt8]? {
        var out: [UInt8] = []
        out.reserveCapacity(text.count)
        var rest = text[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "%"):
                guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else {
                    return nil
                }
                out.append(high << 4 | low)
            case UInt8(ascii: "+") where isForm: out.append(UInt8(ascii: " "))
            default: out.append(byte)
            }
        }
        return out
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
