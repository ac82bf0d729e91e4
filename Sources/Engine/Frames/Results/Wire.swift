// Little-endian bytes of partials: a writer, and a reader that believes no length before it has checked it.

// Unsafe: hands out byte strings where they lie, after their lengths were checked.

struct WireWriter {
    /// Longer than what was written: to append a few bytes to an array, as often as keys and states do, takes five times
    /// as long as to write them where there is room.
    private var room: [UInt8] = []
    private var count = 0

    var byteCount: Int { count }

    /// What was written. Costs a copy.
    var bytes: [UInt8] { Array(room[..<count]) }

    func withBytes<R>(_ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
        room.withUnsafeBufferPointer { body(UnsafeBufferPointer(rebasing: $0[..<count])) }
    }

    /// Has `body` write so many bytes.
    @inline(__always)
    private mutating func write(_ size: Int, _ body: (UnsafeMutableRawPointer) -> Void) {
        if count &+ size > room.count { grow(size) }
        room.withUnsafeMutableBytes { body($0.baseAddress! + count) }
        count &+= size
    }

    @inline(never)
    private mutating func grow(_ size: Int) {
        let larger = max(room.count * 2, count + size, 64)
        room.append(contentsOf: repeatElement(0, count: larger - room.count))
    }

    mutating func append<N: FixedWidthInteger & BitwiseCopyable>(_ number: N) {
        write(MemoryLayout<N>.size) { $0.storeBytes(of: number.littleEndian, as: N.self) }
    }

    mutating func append(_ number: Double) { append(number.bitPattern) }

    /// A 32-bit count, then the bytes.
    mutating func append(counted text: UnsafeBufferPointer<UInt8>) {
        write(4 + text.count) { start in
            start.storeBytes(of: UInt32(text.count).littleEndian, as: UInt32.self)
            if let source = text.baseAddress { (start + 4).copyMemory(from: source, byteCount: text.count) }
        }
    }

    mutating func append(counted text: [UInt8]) { text.withUnsafeBufferPointer { append(counted: $0) } }

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

    mutating func removeAll() { count = 0 }
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
        let left = try bytes.withUnsafeBytes { bytes in
            var rest = UnsafeRawBufferPointer(rebasing: bytes.suffix(remaining))
            for _ in 0..<count {
                guard rest.count >= 4 else { throw WireDamage() }
                let size = Int(UInt32(littleEndian: rest.loadUnaligned(as: UInt32.self)))
                guard size <= rest.count &- 4, let start = rest.baseAddress else { throw WireDamage() }
                try body(
                    UnsafeBufferPointer(start: (start + 4).assumingMemoryBound(to: UInt8.self), count: size))
                rest = UnsafeRawBufferPointer(start: start + 4 + size, count: rest.count &- 4 &- size)
            }
            return rest.count
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
