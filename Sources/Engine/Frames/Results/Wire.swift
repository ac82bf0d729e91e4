// Little-endian bytes of partials: a writer, and a reader that believes no length before it has checked it.

// Unsafe: hands out byte strings where they lie, after their lengths were checked.

struct WireWriter {
    private(set) var bytes: [UInt8] = []

    mutating func append(_ number: some FixedWidthInteger) {
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func append(_ number: Double) { append(number.bitPattern) }

    /// A 32-bit count, then the bytes.
    mutating func append(counted text: some Collection<UInt8>) {
        append(UInt32(text.count))
        bytes.append(contentsOf: text)
    }

    mutating func append(raw text: some Collection<UInt8>) { bytes.append(contentsOf: text) }

    /// As the scalar of these bytes.
    mutating func append(string text: UnsafeBufferPointer<UInt8>) {
        append(ColumnType.string.rawValue)
        append(counted: text)
    }

    /// As the scalar that a key column's number stands for: of strings a code of the dictionary.
    mutating func append(key: Int64, _ type: ColumnType, _ dictionary: DictionaryView?) {
        switch type {
        case .string: append(string: dictionary?[Int(key)] ?? UnsafeBufferPointer(start: nil, count: 0))
        case .double: append(.double(Double(totalKey: key)))
        case .bool: append(.bool(key != 0))
        case .time: append(.time(key))
        case .int: append(.int(key))
        }
    }

    mutating func append(_ scalar: Scalar) {
        switch scalar {
        case .null: append(UInt8(0))
        case .int(let number):
            append(ColumnType.int.rawValue)
            append(number)
        case .double(let number):
            append(ColumnType.double.rawValue)
            append(number)
        case .string(let text):
            append(ColumnType.string.rawValue)
            append(counted: text)
        case .bool(let flag):
            append(ColumnType.bool.rawValue)
            append(UInt8(flag ? 1 : 0))
        case .time(let time):
            append(ColumnType.time.rawValue)
            append(time)
        case .structured: preconditionFailure("only a finished answer has structured values")
        }
    }

    mutating func removeAll() { bytes.removeAll(keepingCapacity: true) }
}

/// What was read is damaged or cut short. Becomes a `Failure` where the partial is decoded.
struct WireDamage: Error {}

struct WireReader {
    private let bytes: ArraySlice<UInt8>
    private var at: Int

    init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        at = bytes.startIndex
    }

    var atEnd: Bool { at == bytes.endIndex }
    var remaining: Int { bytes.endIndex - at }

    mutating func take(_ count: Int) throws(WireDamage) -> ArraySlice<UInt8> {
        guard count >= 0, count <= remaining else { throw WireDamage() }
        defer { at += count }
        return bytes[at..<at + count]
    }

    mutating func number<N: FixedWidthInteger>(_: N.Type = N.self) throws(WireDamage) -> N {
        let part = try take(MemoryLayout<N>.size)
        return N(littleEndian: part.withUnsafeBytes { $0.loadUnaligned(as: N.self) })
    }

    mutating func double() throws(WireDamage) -> Double { Double(bitPattern: try number()) }

    mutating func counted() throws(WireDamage) -> ArraySlice<UInt8> { try take(Int(try number(UInt32.self))) }

    /// A number of things of at least `bytesEach`, of which no more are claimed than can follow.
    mutating func count(bytesEach: Int) throws(WireDamage) -> Int {
        let count = Int(try number(UInt32.self))
        guard count <= remaining / max(bytesEach, 1) else { throw WireDamage() }
        return count
    }

    /// Calls `body` with so many byte strings, each as `append(counted:)` wrote it. Throws `WireDamage`, or what `body` throws.
    mutating func forEachCounted(_ count: Int, _ body: (UnsafeBufferPointer<UInt8>) throws -> Void) throws {
        var left = remaining
        try bytes.withUnsafeBufferPointer { bytes in
            for _ in 0..<count {
                let rest = UnsafeBufferPointer(rebasing: bytes.suffix(left))
                guard rest.count >= 4 else { throw WireDamage() }
                let size = Int(UInt32(littleEndian: UnsafeRawPointer(rest.baseAddress!).loadUnaligned(as: UInt32.self)))
                guard size <= rest.count - 4 else { throw WireDamage() }
                try body(UnsafeBufferPointer(start: rest.baseAddress! + 4, count: size))
                left = rest.count - 4 - size
            }
        }
        at = bytes.endIndex - left
    }

    /// A scalar of this type, or null.
    mutating func scalar(_ type: ColumnType) throws(WireDamage) -> Scalar {
        let tag = try number(UInt8.self)
        if tag == 0 { return .null }
        guard tag == type.rawValue else { throw WireDamage() }
        switch type {
        case .int: return .int(try number())
        case .double: return .double(try double())
        case .string: return .string(Array(try counted()))
        case .time: return .time(try number())
        case .bool:
            let flag = try number(UInt8.self)
            guard flag <= 1 else { throw WireDamage() }
            return .bool(flag == 1)
        }
    }
}
