// The answers of memcached's binary protocol, written straight into a connection's output buffer.
//
// Unsafe: writes through the buffer's raw memory, after reserving as much as it takes.

import Engine

extension ReplyBuffer {
    private static var none: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    // MARK: Values

    /// A value with its flags, and with its key where the opcode asks for that.
    @inline(__always)
    mutating func writeBinaryValue(
        _ echo: BinaryEcho, key: UnsafeRawBufferPointer, flags: UInt32, unique: UInt64, value: UnsafeRawBufferPointer
    ) {
        let start = room(for: BinaryHeader.bytes &+ Self.flagBytes &+ key.count &+ value.count)
        let at = Self.putValueHead(start, echo, key, flags, unique, valueBytes: value.count)
        if let source = value.baseAddress { at.copyMemory(from: source, byteCount: value.count) }
        didWrite(at - start &+ value.count)
    }

    /// The same without the value, which has to follow.
    mutating func writeBinaryValueHead(
        _ echo: BinaryEcho, key: UnsafeRawBufferPointer, flags: UInt32, unique: UInt64, valueBytes: Int
    ) {
        let start = room(for: BinaryHeader.bytes &+ Self.flagBytes &+ key.count)
        didWrite(Self.putValueHead(start, echo, key, flags, unique, valueBytes: valueBytes) - start)
    }

    @inline(__always)
    private static func putValueHead(
        _ start: UnsafeMutableRawPointer, _ echo: BinaryEcho, _ key: UnsafeRawBufferPointer, _ flags: UInt32,
        _ unique: UInt64, valueBytes: Int
    ) -> UnsafeMutableRawPointer {
        let keyBytes = echo.answersKey ? key.count : 0
        putHeader(
            start, echo, .done, keyBytes: keyBytes, extrasBytes: flagBytes,
            bodyBytes: flagBytes &+ keyBytes &+ valueBytes, unique)
        let at = start + BinaryHeader.bytes
        at.storeBytes(of: flags.bigEndian, as: UInt32.self)
        if keyBytes > 0, let source = key.baseAddress {
            (at + flagBytes).copyMemory(from: source, byteCount: keyBytes)
        }
        return at + (flagBytes &+ keyBytes)
    }

    private static var flagBytes: Int { 4 }

    /// What a get of a key answers that has no item: with the key where that was asked for, else in words.
    mutating func writeBinaryMiss(_ echo: BinaryEcho, key: UnsafeRawBufferPointer) {
        guard echo.answersKey else { return writeBinary(echo, .notFound) }
        writeBinary(echo, .notFound, key: key, value: Self.none)
    }

    /// A touch answers the flags, as memcached does, and no value.
    mutating func writeBinaryTouched(_ echo: BinaryEcho, flags: UInt32, unique: UInt64) {
        writeBinaryValue(echo, key: Self.none, flags: flags, unique: unique, value: Self.none)
    }

    // MARK: Everything else

    /// A status and its words.
    mutating func writeBinary(_ echo: BinaryEcho, _ status: BinaryStatus, unique: UInt64 = 0) {
        let words = status.words
        writeBinary(
            echo, status, key: Self.none,
            value: UnsafeRawBufferPointer(start: words.utf8Start, count: words.utf8CodeUnitCount), unique: unique)
    }

    mutating func writeBinary(_ echo: BinaryEcho, _ text: String) {
        var text = text
        text.withUTF8 { writeBinary(echo, .done, key: Self.none, value: UnsafeRawBufferPointer($0)) }
    }

    /// What a counter is now.
    mutating func writeBinaryNumber(_ echo: BinaryEcho, _ number: UInt64, unique: UInt64) {
        withUnsafeBytes(of: number.bigEndian) {
            writeBinary(echo, .done, key: Self.none, value: $0, unique: unique)
        }
    }

    /// A header without extras, key and value.
    mutating func writeBinary(
        _ echo: BinaryEcho, _ status: BinaryStatus, key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer,
        unique: UInt64 = 0
    ) {
        let bodyBytes = key.count + value.count
        let start = room(for: BinaryHeader.bytes + bodyBytes)
        Self.putHeader(start, echo, status, keyBytes: key.count, extrasBytes: 0, bodyBytes: bodyBytes, unique)
        let body = start + BinaryHeader.bytes
        if let source = key.baseAddress { body.copyMemory(from: source, byteCount: key.count) }
        if let source = value.baseAddress { (body + key.count).copyMemory(from: source, byteCount: value.count) }
        didWrite(BinaryHeader.bytes + bodyBytes)
    }

    /// Why something could not be done, in the words that the text protocol has for it.
    mutating func writeBinary(_ echo: BinaryEcho, _ failure: Failure) {
        var text = Self.shown(failure)
        text.withUTF8 {
            writeBinary(echo, BinaryStatus(failure), key: Self.none, value: UnsafeRawBufferPointer($0))
        }
    }

    @inline(__always)
    private static func putHeader(
        _ start: UnsafeMutableRawPointer, _ echo: BinaryEcho, _ status: BinaryStatus, keyBytes: Int, extrasBytes: Int,
        bodyBytes: Int, _ unique: UInt64
    ) {
        let kind = UInt64(BinaryMagic.reply) << 56 | UInt64(echo.opcode) << 48
        let lengths = UInt64(truncatingIfNeeded: keyBytes) << 32 | UInt64(truncatingIfNeeded: extrasBytes) << 24
        let body = UInt64(truncatingIfNeeded: bodyBytes) << 32
        start.storeBytes(of: (kind | lengths | UInt64(status.rawValue)).bigEndian, as: UInt64.self)
        start.storeBytes(of: (body | UInt64(echo.opaque)).bigEndian, toByteOffset: 8, as: UInt64.self)
        start.storeBytes(of: unique.bigEndian, toByteOffset: 16, as: UInt64.self)
    }

    // MARK: Outcomes

    /// The answer to a storage command, a delete or an arithmetic; none to a quiet one that was done. `value`: the digits of a number.
    mutating func writeBinary(
        _ echo: BinaryEcho, _ status: MetaStatus, _ facts: MetaFacts, _ value: some Sequence<UInt8>
    ) {
        let verb = BinaryVerb(opcode: echo.opcode)
        guard status == .found else { return writeBinary(echo, BinaryStatus(status, of: verb)) }
        if echo.isQuiet { return }
        switch verb {
        case .increment, .decrement:
            let number = value.reduce(0 as UInt64) { $0 &* 10 &+ UInt64($1 &- 0x30) }
            writeBinaryNumber(echo, number, unique: facts.unique)
        case .delete: writeBinary(echo, .done)
        default: writeBinary(echo, .done, unique: facts.unique)
        }
    }
}

extension BinaryStatus {
    /// What memcached answers: a condition that did not hold is told as what was found.
    init(_ status: MetaStatus, of verb: BinaryVerb?) {
        switch status {
        case .found: self = .done
        case .miss: self = .notFound
        case .notStored: self = verb == .add ? .exists : verb == .replace ? .notFound : .notStored
        case .exists: self = .exists
        case .notANumber: self = .notANumber
        case .tooLarge: self = .tooLarge
        case .outOfMemory: self = .outOfMemory
        }
    }

    /// What the caller can mend is said to be not stored, also of a get: libmemcached takes a server out for a while that answers
    /// anything but this, a miss, or what `add` and too large a value get; and this server is well. The rest may go away by itself.
    init(_ failure: Failure) {
        switch failure.fault {
        case .caller: self = failure.reason == .notAllowed ? .notAuthenticated : .notStored
        case .server:
            self = failure.reason == .overloaded || failure.reason == .budgetExceeded ? .busy : .temporaryFailure
        }
    }
}
