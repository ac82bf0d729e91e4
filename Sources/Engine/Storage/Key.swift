// What a key may be, for everybody who takes one from outside.

/// memcached's rules: 1 to 250 bytes, no blanks, no control characters.
package enum Key {
    package static let bytesMax = 250

    /// Why these bytes are no key that may be asked for: any bytes may be, as `mg` takes them in base64.
    package static func refusal<Bytes: Collection<UInt8>>(ofBytes key: Bytes) -> Failure? {
        refusal(ofCount: key.count)
    }

    /// Why a key can't have so many bytes.
    package static func refusal(ofCount count: Int) -> Failure? {
        guard !(1...bytesMax).contains(count) else { return nil }
        return Failure(.scriptError, "a key has 1 to \(bytesMax) bytes, this one has \(count)")
    }

    /// Why these bytes are no key that a line of the protocol can have.
    package static func refusal<Bytes: Collection<UInt8>>(ofText key: Bytes) -> Failure? {
        guard (1...bytesMax).contains(key.count), key.allSatisfy({ $0 > 32 && $0 != 127 }) else {
            return Failure(.scriptError, "a key has 1 to \(bytesMax) bytes, and no spaces or control characters")
        }
        return nil
    }
}
