// A workload's requests as bytes, for memcached's protocols and for redis.

import Engine
import NIOCore

struct BenchRequests {
    let workload: BenchWorkload
    let wire: BenchWorkload.Wire
    private var sampler: KeySampler
    private let get: RequestPattern
    private let set: RequestPattern
    /// A key of a multi-get, and what comes before and after all of them.
    private let listed: (start: [UInt8], key: RequestPattern, end: [UInt8])
    private let method: RequestPattern?
    private let methodSetup: RequestPattern?

    /// `scriptHash`: redis: the SHA1 of the loaded script of a method.
    init(_ workload: BenchWorkload, wire: BenchWorkload.Wire, scriptHash: String, seed: UInt64) {
        self.workload = workload
        self.wire = wire
        sampler = KeySampler(keys: workload.keys, zipf: workload.zipf, seed: seed)
        let digits = max(workload.keyBytes - 4, Decimal.digitCount(UInt64(workload.keys - 1)))
        let keyBytes = digits + 4
        let value = Self.value(bytes: workload.valueBytes)
        var keysOfRequest = 0
        if case .multiget(let count) = workload.operation { keysOfRequest = count }
        switch wire {
        case .memcached:
            get = RequestPattern("get key:%d\r\n", digits: digits)
            set = RequestPattern(
                [Array("set key:".utf8), Array(" 0 0 \(value.count)\r\n".utf8) + value + Array("\r\n".utf8)],
                digits: digits)
            listed = (Array("get".utf8), RequestPattern(" key:%d", digits: digits), Array("\r\n".utf8))
        case .binary:
            // GET, SET, and for many keys GETKQ with a NOOP at the end.
            get = RequestPattern([Self.binary(0x00, keyBytes: keyBytes) + Array("key:".utf8), []], digits: digits)
            let head = Self.binary(0x01, keyBytes: keyBytes, extrasBytes: 8, valueBytes: value.count)
            set = RequestPattern([head + [UInt8](repeating: 0, count: 8) + Array("key:".utf8), value], digits: digits)
            listed = (
                [], RequestPattern([Self.binary(0x0D, keyBytes: keyBytes) + Array("key:".utf8), []], digits: digits),
                Self.binary(0x0A)
            )
        case .redis:
            get = RequestPattern("*2\r\n$3\r\nGET\r\n$\(keyBytes)\r\nkey:%d\r\n", digits: digits)
            set = RequestPattern(
                [
                    Array("*3\r\n$3\r\nSET\r\n$\(keyBytes)\r\nkey:".utf8),
                    Array("\r\n$\(value.count)\r\n".utf8) + value + Array("\r\n".utf8),
                ], digits: digits)
            listed = (
                Array("*\(keysOfRequest + 1)\r\n$4\r\nMGET\r\n".utf8),
                RequestPattern("$\(keyBytes)\r\nkey:%d\r\n", digits: digits), []
            )
        }
        guard case .method(let template, let setup, _) = workload.operation else {
            (method, methodSetup) = (nil, nil)
            return
        }
        switch wire {
        case .memcached, .binary:
            method = RequestPattern("get \(template)\r\n")
            methodSetup = RequestPattern("get \(setup)\r\n")
        case .redis:
            let call = RequestPattern(
                "*4\r\n$7\r\nEVALSHA\r\n$\(scriptHash.utf8.count)\r\n\(scriptHash)\r\n$1\r\n1\r\n$\(digits + 1)\r\no%d\r\n",
                digits: digits)
            (method, methodSetup) = (call, call)
        }
    }

    /// The header of a request of the binary protocol.
    private static func binary(
        _ opcode: UInt8, keyBytes: Int = 0, extrasBytes: UInt8 = 0, valueBytes: Int = 0
    ) -> [UInt8] {
        var header: [UInt8] = [BinaryMagic.request, opcode, 0, UInt8(keyBytes), extrasBytes, 0, 0, 0]
        withUnsafeBytes(of: UInt32(keyBytes + Int(extrasBytes) + valueBytes).bigEndian) { header += $0 }
        return header + [UInt8](repeating: 0, count: BinaryHeader.bytes - header.count)
    }

    /// Text that compresses about as JSON does.
    static func value(bytes: Int) -> [UInt8] {
        var generator = KeySampler(keys: 10, zipf: nil, seed: 7)
        var out: [UInt8] = []
        while out.count < bytes { out += Array("\"field\(generator.next())\":\(generator.random() % 100_000),".utf8) }
        return Array(out.prefix(bytes))
    }

    mutating func append(to out: inout ByteBuffer) {
        let number = sampler.next()
        switch workload.operation {
        case .get: get.write(number, to: &out)
        case .set: set.write(number, to: &out)
        case .mixed(let setShare):
            let isSet = Double(sampler.random() % 10_000) < setShare * 10_000
            (isSet ? set : get).write(number, to: &out)
        case .multiget(let count):
            out.writeBytes(listed.start)
            listed.key.write(number, to: &out)
            for _ in 1..<count { listed.key.write(sampler.next(), to: &out) }
            out.writeBytes(listed.end)
        case .method: method?.write(number, to: &out)
        }
    }

    /// The request that puts key number `number` in its place before the measurement.
    func appendSetup(of number: Int, to out: inout ByteBuffer) {
        (methodSetup ?? set).write(number, to: &out)
    }
}
