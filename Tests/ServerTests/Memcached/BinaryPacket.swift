// Requests and answers of memcached's binary protocol, put together and taken apart apart from the code that is tested.

struct BinaryPacket: Equatable, CustomStringConvertible {
    /// A request's first byte, or an answer's.
    var magic: UInt8 = 0x80
    var opcode: UInt8
    /// 0 in a request.
    var status: UInt16 = 0
    var extras: [UInt8] = []
    var key: [UInt8] = []
    var value: [UInt8] = []
    var opaque: UInt32 = 0
    var unique: UInt64 = 0
    // What the header says where that is not the truth.
    var keyLength: UInt16?
    var extrasLength: UInt8?
    var bodyLength: UInt32?

    static let headerBytes = 24

    var bytes: [UInt8] {
        let body = extras.count + key.count + value.count
        var bytes = [magic, opcode] + Self.big(keyLength ?? UInt16(key.count))
        bytes += [extrasLength ?? UInt8(extras.count), 0] + Self.big(status)
        bytes += Self.big(bodyLength ?? UInt32(body)) + Self.big(opaque) + Self.big(unique)
        return bytes + extras + key + value
    }

    static func big(_ number: some FixedWidthInteger) -> [UInt8] { withUnsafeBytes(of: number.bigEndian) { Array($0) } }

    /// All answers in these bytes; nil where they are not whole ones.
    static func answers(_ bytes: [UInt8]) -> [BinaryPacket]? {
        var packets: [BinaryPacket] = []
        var at = 0
        while at < bytes.count {
            guard bytes.count - at >= headerBytes, bytes[at] == 0x81 else { return nil }
            func number(_ start: Int, _ count: Int) -> UInt64 {
                bytes[at + start..<at + start + count].reduce(0) { $0 << 8 | UInt64($1) }
            }
            let (keyBytes, extrasBytes, bodyBytes) = (Int(number(2, 2)), Int(number(4, 1)), Int(number(8, 4)))
            let end = at + headerBytes + bodyBytes
            guard end <= bytes.count, keyBytes + extrasBytes <= bodyBytes, bytes[at + 5] == 0 else { return nil }
            let keyStart = at + headerBytes + extrasBytes
            packets.append(
                BinaryPacket(
                    magic: 0x81, opcode: bytes[at + 1], status: UInt16(number(6, 2)),
                    extras: Array(bytes[at + headerBytes..<keyStart]),
                    key: Array(bytes[keyStart..<keyStart + keyBytes]), value: Array(bytes[keyStart + keyBytes..<end]),
                    opaque: UInt32(number(12, 4)), unique: number(16, 8)))
            at = end
        }
        return packets
    }

    var description: String {
        let numbers = "\(String(opcode, radix: 16)) status \(status) opaque \(opaque) unique \(unique) extras \(extras)"
        return
            "[\(numbers) '\(String(decoding: key, as: UTF8.self))' '\(String(decoding: value.prefix(80), as: UTF8.self))']"
    }

    // MARK: Requests

    static func ask(
        _ opcode: UInt8, _ key: String = "", extras: [UInt8] = [], value: String = "", opaque: UInt32 = 0,
        unique: UInt64 = 0
    ) -> BinaryPacket {
        BinaryPacket(
            opcode: opcode, extras: extras, key: Array(key.utf8), value: Array(value.utf8), opaque: opaque,
            unique: unique)
    }

    /// `opcode`: of a set, an add or a replace, quiet or not.
    static func set(
        _ key: String, _ value: String, opcode: UInt8 = 0x01, flags: UInt32 = 0, exptime: UInt32 = 0,
        opaque: UInt32 = 0, unique: UInt64 = 0
    ) -> BinaryPacket {
        ask(opcode, key, extras: big(flags) + big(exptime), value: value, opaque: opaque, unique: unique)
    }

    /// `opcode`: of an increment or a decrement, quiet or not.
    static func count(
        _ key: String, _ delta: UInt64, opcode: UInt8 = 0x05, initial: UInt64 = 0, exptime: UInt32 = .max,
        unique: UInt64 = 0
    ) -> BinaryPacket {
        ask(opcode, key, extras: big(delta) + big(initial) + big(exptime), unique: unique)
    }

    // MARK: Answers

    static func answer(
        _ opcode: UInt8, _ key: String = "", extras: [UInt8] = [], value: String = "", opaque: UInt32 = 0,
        unique: UInt64 = 0, status: UInt16 = 0
    ) -> BinaryPacket {
        var packet = ask(opcode, key, extras: extras, value: value, opaque: opaque, unique: unique)
        (packet.magic, packet.status) = (0x81, status)
        return packet
    }

    static func value(
        _ value: String, opcode: UInt8 = 0x00, key: String = "", flags: UInt32 = 0, opaque: UInt32 = 0,
        unique: UInt64 = 0
    ) -> BinaryPacket {
        answer(opcode, key, extras: big(flags), value: value, opaque: opaque, unique: unique)
    }

    static func number(_ number: UInt64, opcode: UInt8 = 0x05, unique: UInt64) -> BinaryPacket {
        var packet = answer(opcode, unique: unique)
        packet.value = big(number)
        return packet
    }

    /// A status with memcached's words for it.
    static func error(_ opcode: UInt8, _ status: UInt16, opaque: UInt32 = 0) -> BinaryPacket {
        answer(opcode, value: words[status] ?? "?", opaque: opaque, status: status)
    }

    private static let words: [UInt16: String] = [
        0x01: "Not found", 0x02: "Data exists for key.", 0x03: "Too large.", 0x04: "Invalid arguments",
        0x05: "Not stored.", 0x06: "Non-numeric server-side value for incr or decr", 0x20: "Auth failure.",
        0x21: "", 0x81: "Unknown command", 0x82: "Out of memory",
    ]
}
