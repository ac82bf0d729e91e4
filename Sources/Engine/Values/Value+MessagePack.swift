// MessagePack to and from a value: what scripts' values look like between nodes and at rest.
// Format: https://github.com/msgpack/msgpack/blob/master/spec.md. Strings are written as `str`; `bin` is read as well.

extension Value {
    package var messagePack: [UInt8] {
        var writer = MessagePackWriter()
        writer.append(self)
        return writer.bytes
    }

    package func appendMessagePack(to out: inout [UInt8]) {
        var writer = MessagePackWriter()
        swap(&writer.bytes, &out)
        writer.append(self)
        swap(&writer.bytes, &out)
    }

    /// The same at a pace, on a lease that is taken before it is there. `first`: a byte before it. `expected`: how many there will be, about.
    package func messagePack(
        _ pace: WorkPace, lease: MemoryLease? = nil, first: UInt8? = nil, expected: Int = 0
    ) throws(Failure) -> [UInt8] {
        var writer = MessagePackWriter(pace, lease)
        if expected > 0 { try writer.reserve(expected) }
        if let first { writer.bytes.append(first) }
        writer.append(self)
        if let failure = writer.failure { throw failure }
        return writer.bytes
    }

    /// Reads one value that takes up all of `bytes`; nil when it is cut short, too deep, followed by more, has more parts than
    /// `partsMax` (a part takes a byte on the wire, and sixteen and more once it is read), or has what no value here is: an
    /// integer beyond 64 bits with sign, an extension, a key that is null, NaN, a list or a map.
    package init?(messagePack bytes: some Collection<UInt8>, partsMax: Int = .max) {
        guard let value = try? Value(parsingMessagePack: bytes, partsMax: partsMax) else { return nil }
        self = value
    }

    /// The same, with the reason. What the value takes is put on `lease` before it is there, and `pace` may end the reading.
    package init(
        parsingMessagePack bytes: some Collection<UInt8>, partsMax: Int = .max, lease: MemoryLease? = nil,
        _ pace: WorkPace? = nil
    ) throws(Failure) {
        let read = { (buffer: UnsafeBufferPointer<UInt8>) -> (Value?, String?, Failure?) in
            var reader = MessagePackReader(buffer, partsMax: partsMax, lease: lease, pace: pace)
            guard let value = reader.read(depth: 0) else { return (nil, reader.problem, reader.failure) }
            return reader.atEnd ? (value, nil, nil) : (nil, "there is something behind the value", nil)
        }
        let (value, problem, failure) =
            bytes.withContiguousStorageIfAvailable(read) ?? Array(bytes).withUnsafeBufferPointer(read)
        if let failure { throw failure }
        guard let value else {
            throw Failure(.scriptError, "this is no msgpack" + (problem.map { ": \($0)" } ?? ""))
        }
        self = value
    }
}

private struct MessagePackWriter {
    fileprivate(set) var bytes: [UInt8] = []
    private let pace: WorkPace?
    private let lease: MemoryLease?
    /// Why it went no further.
    private(set) var failure: Failure?

    init(_ pace: WorkPace? = nil, _ lease: MemoryLease? = nil) {
        self.pace = pace
        self.lease = lease
    }

    mutating func append(_ value: Value) {
        guard failure == nil, mayWrite(value) else { return }
        switch value {
        case .null: bytes.append(0xC0)
        case .bool(let flag): bytes.append(flag ? 0xC3 : 0xC2)
        case .int(let number): append(integer: number)
        case .double(let number):
            bytes.append(0xCB)
            append(bigEndian: number.bitPattern)
        case .bytes(let text):
            append(count: text.count, fix: (0xA0, 32), sized: [0xD9, 0xDA, 0xDB])
            bytes.append(contentsOf: text)
        case .array(let elements):
            append(count: elements.count, fix: (0x90, 16), sized: [nil, 0xDC, 0xDD])
            for element in elements { append(element) }
        case .map(let pairs):
            append(count: pairs.count, fix: (0x80, 16), sized: [nil, 0xDE, 0xDF])
            for pair in pairs {
                append(pair.key)
                append(pair.value)
            }
        }
    }

    /// What a value has besides a text: a tag and a number.
    private static let headBytes = 9

    /// After some work, and with room for the value itself, not for its parts.
    private mutating func mayWrite(_ value: Value) -> Bool {
        guard let pace else { return true }
        var more = Self.headBytes
        if case .bytes(let text) = value { more += text.count }
        do throws(Failure) {
            try pace.spend(2 + more / 16)
            if bytes.capacity - bytes.count < more { try reserve(max(2 * bytes.capacity, bytes.count + more)) }
            return true
        } catch {
            failure = error
            return false
        }
    }

    mutating func reserve(_ count: Int) throws(Failure) {
        let before = bytes.capacity
        try lease?.take(count)
        bytes.reserveCapacity(count)
        lease?.give(before)
    }

    private mutating func append(integer number: Int64) {
        switch number {
        case 0...127: bytes.append(UInt8(number))
        case -32..<0: bytes.append(UInt8(bitPattern: Int8(number)))
        case Int64(Int32.min)...Int64(Int32.max):
            bytes.append(0xD2)
            append(bigEndian: UInt32(bitPattern: Int32(number)))
        default:
            bytes.append(0xD3)
            append(bigEndian: UInt64(bitPattern: number))
        }
    }

    private mutating func append(count: Int, fix: (UInt8, Int), sized: [UInt8?]) {
        if count < fix.1 {
            bytes.append(fix.0 | UInt8(count))
        } else if let short = sized[0], count <= UInt8.max {
            bytes.append(short)
            bytes.append(UInt8(count))
        } else if count <= UInt16.max {
            bytes.append(sized[1]!)
            append(bigEndian: UInt16(count))
        } else {
            bytes.append(sized[2]!)
            append(bigEndian: UInt32(count))
        }
    }

    private mutating func append(bigEndian number: some FixedWidthInteger) {
        withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) }
    }
}

/// A cursor over MessagePack bytes that come from another process: every length is checked before it is believed.
private struct MessagePackReader {
    private let bytes: UnsafeBufferPointer<UInt8>
    private var at = 0
    private static let depthMax = 64
    /// What is wrong, where it is more than a mistake in the format.
    private(set) var problem: String?

    /// How many more elements, keys and values there may be.
    private var partsLeft: Int

    private let lease: MemoryLease?
    private let pace: WorkPace?
    /// Why it went no further, though the bytes may be all right.
    private(set) var failure: Failure?

    init(_ bytes: UnsafeBufferPointer<UInt8>, partsMax: Int, lease: MemoryLease?, pace: WorkPace?) {
        self.bytes = bytes
        self.lease = lease
        self.pace = pace
        partsLeft = partsMax
    }

    /// Before an array or a text of so many bytes is made, after some work. False when it has to end.
    private mutating func mayHold(_ bytes: Int, units: Int) -> Bool {
        do throws(Failure) {
            try pace?.spend(units)
            try lease?.take(bytes)
            return true
        } catch {
            failure = error
            return false
        }
    }

    private mutating func refuse(_ problem: String) -> Value? {
        self.problem = problem
        return nil
    }

    var atEnd: Bool { at == bytes.count }

    mutating func read(depth: Int) -> Value? {
        guard depth < Self.depthMax else { return refuse("it is nested deeper than \(Self.depthMax)") }
        guard at < bytes.count else { return nil }
        let tag = bytes[at]
        at += 1
        switch tag {
        case 0x00...0x7F: return .int(Int64(tag))
        case 0xE0...0xFF: return .int(Int64(Int8(bitPattern: tag)))
        case 0x80...0x8F: return readMap(Int(tag & 15), depth)
        case 0x90...0x9F: return readArray(Int(tag & 15), depth)
        case 0xA0...0xBF: return readBytes(Int(tag & 31))
        case 0xC0: return .null
        case 0xC2: return .bool(false)
        case 0xC3: return .bool(true)
        case 0xC4, 0xD9: return number(UInt8.self).flatMap { readBytes(Int($0)) }
        case 0xC5, 0xDA: return number(UInt16.self).flatMap { readBytes(Int($0)) }
        case 0xC6, 0xDB: return number(UInt32.self).flatMap { readBytes(Int($0)) }
        case 0xCA: return number(UInt32.self).map { .double(Double(Float(bitPattern: $0))) }
        case 0xCB: return number(UInt64.self).map { .double(Double(bitPattern: $0)) }
        case 0xCC: return number(UInt8.self).map { .int(Int64($0)) }
        case 0xCD: return number(UInt16.self).map { .int(Int64($0)) }
        case 0xCE: return number(UInt32.self).map { .int(Int64($0)) }
        case 0xCF:
            guard let number = number(UInt64.self) else { return nil }
            return Int64(exactly: number).map { .int($0) }
                ?? refuse("the integer \(number) is beyond 64 bits with sign; send it as text")
        case 0xC7...0xC9, 0xD4...0xD8: return refuse("extension types mean nothing here; send plain values")
        case 0xD0: return number(Int8.self).map { .int(Int64($0)) }
        case 0xD1: return number(Int16.self).map { .int(Int64($0)) }
        case 0xD2: return number(Int32.self).map { .int(Int64($0)) }
        case 0xD3: return number(Int64.self).map { .int($0) }
        case 0xDC: return number(UInt16.self).flatMap { readArray(Int($0), depth) }
        case 0xDD: return number(UInt32.self).flatMap { readArray(Int($0), depth) }
        case 0xDE: return number(UInt16.self).flatMap { readMap(Int($0), depth) }
        case 0xDF: return number(UInt32.self).flatMap { readMap(Int($0), depth) }
        default: return nil
        }
    }

    private mutating func number<N: FixedWidthInteger>(_: N.Type) -> N? {
        let size = MemoryLayout<N>.size
        guard bytes.count - at >= size else { return nil }
        let number = UnsafeRawBufferPointer(bytes).loadUnaligned(fromByteOffset: at, as: N.self)
        at += size
        return N(bigEndian: number)
    }

    private mutating func readBytes(_ count: Int) -> Value? {
        guard bytes.count - at >= count, mayHold(48 + count, units: 4 + count / 16) else { return nil }
        defer { at += count }
        return .bytes(Array(bytes[at..<at + count]))
    }

    private mutating func readArray(_ count: Int, _ depth: Int) -> Value? {
        // An element is at least a byte.
        guard bytes.count - at >= count, count <= partsLeft,
            mayHold(48 + count * MemoryLayout<Value>.stride, units: 4 + count)
        else { return nil }
        partsLeft -= count
        var elements: [Value] = []
        elements.reserveCapacity(count)
        for _ in 0..<count {
            guard let element = read(depth: depth + 1) else { return nil }
            elements.append(element)
        }
        return .array(elements)
    }

    private mutating func readMap(_ count: Int, _ depth: Int) -> Value? {
        guard (bytes.count - at) / 2 >= count, count <= partsLeft / 2,
            mayHold(48 + count * MemoryLayout<Value.Pair>.stride, units: 4 + count)
        else { return nil }
        partsLeft -= 2 * count
        var pairs: [Value.Pair] = []
        pairs.reserveCapacity(count)
        for _ in 0..<count {
            guard let key = read(depth: depth + 1) else { return nil }
            guard key.isKey else { return refuse("a key must be a number, a string or a boolean") }
            guard let value = read(depth: depth + 1) else { return nil }
            pairs.append(Value.Pair(key, value))
        }
        return .map(pairs)
    }
}

extension Value {
    /// What a key of a map may be, here as in Lua. Maps that are keys of maps would as JSON double in size with each level.
    package var isKey: Bool {
        switch self {
        case .bool, .int, .bytes: true
        case .double(let number): !number.isNaN
        case .null, .array, .map: false
        }
    }
}
