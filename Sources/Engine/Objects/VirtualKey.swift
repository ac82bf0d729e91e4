// A key that names an object's method: `type:method:object[:argument…]`, split and unescaped.

/// The parts of a virtual key. Whether it is one depends on the registered types: see `ObjectTypes`.
package struct VirtualKey: Sendable, Hashable {
    package let type: String
    package let method: String
    /// The object's name as it was written; empty where the key has only two parts.
    package let object: [UInt8]
    package let arguments: [[UInt8]]
    /// When what `new` makes will expire, as an instant in unix seconds; 0 never. Not part of the key's text.
    package var expiry = Expiry.never
    /// `new` makes its object only where there is none. Not part of the key's text either.
    package var onlyIfAbsent = false

    package init(type: String, method: String, object: [UInt8] = [], arguments: [[UInt8]] = []) {
        self.type = type
        self.method = method
        self.object = object
        self.arguments = arguments
    }

    /// Splits at colons; `%XX` in the object and the arguments stands for any byte. Nil without a colon, or when type
    /// or method is no name (letters, digits, `_`).
    package init?(_ key: UnsafeRawBufferPointer) {
        var parts = key.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)[...]
        guard parts.count >= 2, let type = Self.name(parts.removeFirst()), let method = Self.name(parts.removeFirst())
        else { return nil }
        self.type = type
        self.method = method
        object = parts.popFirst().map(Self.unescaped) ?? []
        arguments = parts.map(Self.unescaped)
    }

    /// The same for a method that is no name, which no type has: only the type has to be one.
    package init?(ofType key: UnsafeRawBufferPointer) {
        var parts = key.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)[...]
        guard parts.count >= 2, let type = Self.name(parts.removeFirst()) else { return nil }
        self.type = type
        method = String(decoding: parts.removeFirst(), as: UTF8.self)
        object = parts.popFirst().map(Self.unescaped) ?? []
        arguments = parts.map(Self.unescaped)
    }

    /// The key as text, unescaped.
    package var text: [UInt8] {
        var bytes = Array("\(type):\(method)".utf8)
        for part in object.isEmpty && arguments.isEmpty ? [] : [object] + arguments {
            bytes += [UInt8(ascii: ":")] + part
        }
        return bytes
    }

    /// What decides the owner: the part in braces if there is one (`{tag}` co-locates objects), else the object's name.
    package var routingKey: [UInt8] { object.withUnsafeBytes { Array(Self.routingKey(ofName: $0)) } }

    /// The same of a name as it was written: a part of it.
    package static func routingKey(ofName name: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard let open = name.firstIndex(of: UInt8(ascii: "{")),
            let close = name[open...].firstIndex(of: UInt8(ascii: "}")), close > open + 1
        else { return name }
        return UnsafeRawBufferPointer(rebasing: name[(open + 1)..<close])
    }

    private static func name(_ part: Slice<UnsafeRawBufferPointer>) -> String? {
        guard !part.isEmpty,
            part.allSatisfy({ byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
                    true
                default: false
                }
            })
        else { return nil }
        return String(decoding: part, as: UTF8.self)
    }

    private static func unescaped(_ part: Slice<UnsafeRawBufferPointer>) -> [UInt8] {
        guard part.contains(UInt8(ascii: "%")) else { return Array(part) }
        var out: [UInt8] = []
        var at = part.startIndex
        while at < part.endIndex {
            if part[at] == UInt8(ascii: "%"), at + 2 < part.endIndex,
                let high = hexDigit(part[at + 1]), let low = hexDigit(part[at + 2])
            {
                out.append(high << 4 | low)
                at += 3
            } else {
                out.append(part[at])
                at += 1
            }
        }
        return out
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
