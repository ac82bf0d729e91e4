// A workload's requests as bytes, for memcached's text protocol and for redis.

import NIOCore

struct BenchRequests {
    let workload: BenchWorkload
    let wire: BenchWorkload.Wire
    /// redis: the SHA1 of the loaded script.
    var scriptHash = ""
    private var sampler: KeySampler
    private let value: [UInt8]

    init(_ workload: BenchWorkload, wire: BenchWorkload.Wire, seed: UInt64) {
        self.workload = workload
        self.wire = wire
        sampler = KeySampler(keys: workload.keys, zipf: workload.zipf, seed: seed)
        value = Self.value(bytes: workload.valueBytes)
    }

    /// Text that compresses about as JSON does.
    static func value(bytes: Int) -> [UInt8] {
        var generator = KeySampler(keys: 10, zipf: nil, seed: 7)
        var out: [UInt8] = []
        while out.count < bytes { out += Array("\"field\(generator.next())\":\(generator.random() % 100_000),".utf8) }
        return Array(out.prefix(bytes))
    }

    mutating func append(to out: inout ByteBuffer) {
        switch workload.operation {
        case .get: get(&out, sampler.next())
        case .set: set(&out, sampler.next())
        case .mixed(let setShare):
            if Double(sampler.random() % 10_000) < setShare * 10_000 {
                set(&out, sampler.next())
            } else {
                get(&out, sampler.next())
            }
        case .multiget(let count): multiget(&out, count)
        case .method(let template, _, _):
            let number = sampler.next()
            if wire == .memcached {
                out.writeString("get \(Self.fill(template, number))\r\n")
            } else {
                command(&out, ["EVALSHA", scriptHash, "1", "o\(number)"])
            }
        }
    }

    /// The request that puts key number `number` in its place before the measurement.
    mutating func appendSetup(of number: Int, to out: inout ByteBuffer) {
        guard case .method(_, let setup, _) = workload.operation else { return set(&out, number) }
        if wire == .memcached {
            out.writeString("get \(Self.fill(setup, number))\r\n")
        } else {
            command(&out, ["EVALSHA", scriptHash, "1", "o\(number)"])
        }
    }

    /// The template with the number in place of each `%d`.
    static func fill(_ template: String, _ number: Int) -> String {
        var parts = template.split(separator: "%d", omittingEmptySubsequences: false)[...]
        var filled = String(parts.popFirst() ?? "")
        for part in parts { filled += "\(number)\(part)" }
        return filled
    }

    private func key(_ number: Int) -> String {
        let digits = "\(number)"
        return "key:" + String(repeating: "0", count: max(0, workload.keyBytes - 4 - digits.count)) + digits
    }

    private func get(_ out: inout ByteBuffer, _ number: Int) {
        if wire == .memcached {
            out.writeString("get \(key(number))\r\n")
        } else {
            command(&out, ["GET", key(number)])
        }
    }

    private mutating func multiget(_ out: inout ByteBuffer, _ count: Int) {
        let keys = (0..<count).map { _ in key(sampler.next()) }
        if wire == .memcached {
            out.writeString("get \(keys.joined(separator: " "))\r\n")
        } else {
            command(&out, ["MGET"] + keys)
        }
    }

    private func set(_ out: inout ByteBuffer, _ number: Int) {
        if wire == .memcached {
            out.writeString("set \(key(number)) 0 0 \(value.count)\r\n")
        } else {
            let key = key(number)
            out.writeString("*3\r\n$3\r\nSET\r\n$\(key.utf8.count)\r\n\(key)\r\n$\(value.count)\r\n")
        }
        out.writeBytes(value)
        out.writeString("\r\n")
    }

    private func command(_ out: inout ByteBuffer, _ words: [String]) {
        out.writeString("*\(words.count)\r\n")
        for word in words { out.writeString("$\(word.utf8.count)\r\n\(word)\r\n") }
    }
}
