// Long texts and lists written and read as JSON and MessagePack at a pace, on a lease: the same, or ended on the way.

import Engine
import Testing

@Suite struct ValuePaceTests {
    private static func pace(_ memory: ScriptMemory = ScriptMemory(limitBytes: 1 << 30), endsAfter looks: Int = .max)
        -> WorkPace
    {
        var count = 0
        return WorkPace(deadline: .never, share: ScriptShare(of: memory)) {
            count += 1
            return count > looks
        }
    }

    /// As one piece: what is no UTF-8 repaired, then escaped.
    private static func json(_ bytes: [UInt8]) -> [UInt8] {
        var out = "\""
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            switch scalar.value {
            case 0x22: out += "\\\""
            case 0x5C: out += "\\\\"
            case 0x0A: out += "\\n"
            case 0x0D: out += "\\r"
            case 0x09: out += "\\t"
            case 0..<0x20, 0x7F:
                let hex = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: out.unicodeScalars.append(scalar)
            }
        }
        return Array((out + "\"").utf8)
    }

    @Test("a text that is escaped piece by piece is what it is as a whole, wherever it is no UTF-8")
    func pieces() throws {
        var random = SeededRandom(7)
        let characters: [[UInt8]] = [
            Array("é".utf8), Array("€".utf8), Array("🛫".utf8), [0x80], [0xBF, 0xBF], [0xE2, 0x82], [0xF0, 0x9F, 0x9B],
            [0xFF], [0xED, 0xA0, 0x80], [0x41], [0x0A], [0xC3],
        ]
        for round in 0..<40 {
            var text: [UInt8] = []
            let ownKind = round < characters.count ? characters[round] : nil
            text += [UInt8](repeating: 0x61, count: random.below(9))
            while text.count < 9_000 { text += ownKind ?? random.pick(characters) }
            #expect(Value.bytes(text).json == Self.json(text))
            #expect(try Value.bytes(text).json(bytesMax: 1 << 20, Self.pace()) == Self.json(text))
        }
    }

    private static let large: [(String, Value)] = [
        ("text", .bytes([UInt8](repeating: 0x61, count: 1 << 17))),
        ("to escape", .bytes([UInt8](repeating: 0x0A, count: 1 << 17))),
        ("to repair", .bytes([UInt8](repeating: 0xE2, count: 1 << 17))),
        ("numbers", .array((0..<20_000).map { .int($0) })),
        ("maps", .array((0..<20_000).map { .map([Value.Pair(.string("k"), .int($0))]) })),
        ("texts", .array((0..<10_000).map { .string("text \($0) \"") })),
    ]

    @Test("long values are written and read at a pace, on the account, as they are without", arguments: large.indices)
    func paced(index: Int) throws {
        let (name, value) = Self.large[index]
        let text = value.json
        let read = try Value(parsingJSON: text)
        let memory = ScriptMemory(limitBytes: 1 << 30)
        #expect(try value.json(bytesMax: 1 << 30, Self.pace(memory)) == text)
        #expect(memory.usedBytes == 0)
        do {
            let lease = try ScriptShare(of: memory).lease(for: "test")
            #expect(try Value(parsingJSON: text, lease: lease, Self.pace()) == read)
            #expect(memory.usedBytes >= read.heldBytes)
            let packed = try ScriptShare(of: memory).lease(for: "test")
            #expect(try Value(parsingMessagePack: read.messagePack, lease: packed, Self.pace()) == read)
            #expect(packed.bytes >= read.heldBytes)
        }
        #expect(memory.usedBytes == 0)
        #expect(try value.jsonCount(bytesMax: text.count, Self.pace()) == text.count)
        #expect(try value.jsonCount(bytesMax: text.count - 1, Self.pace()) == nil)
        do {
            let lease = try ScriptShare(of: memory).lease(for: "test")
            #expect(try value.messagePack(Self.pace(), lease: lease) == value.messagePack)
            #expect(lease.bytes >= value.messagePack.count)
            let room = try ScriptShare(of: memory).lease(text.count, for: "test")
            var sent: LeasedText? = value.leasedJSON(bytes: text.count, room, Self.pace())
            #expect(sent.map { Array($0.bytes) } == text)
            sent = nil
        }
        #expect(memory.usedBytes == 0)
        let steps: [(WorkPace) throws -> Void] = [
            { _ = try value.json(bytesMax: 1 << 30, $0) },
            { _ = try value.jsonCount(bytesMax: 1 << 30, $0) },
            { _ = try Value(parsingJSON: text, lease: nil, $0) },
        ]
        for step in steps {
            #expect(throws: Failure(.cancelled, "cancelled"), "\(name)") { try step(Self.pace(endsAfter: 2)) }
        }
        // A text is one copy, which nothing ends.
        if case .array = value {
            #expect(throws: Failure(.cancelled, "cancelled")) { try value.messagePack(Self.pace(endsAfter: 1)) }
        }
        let small = ScriptMemory(limitBytes: 64 << 10)
        #expect(throws: Failure.self, "\(name)") { try value.json(bytesMax: 1 << 30, Self.pace(small)) }
        #expect(throws: Failure.self, "\(name)") {
            try Value(parsingJSON: text, lease: try ScriptShare(of: small).lease(for: "test"))
        }
        #expect(throws: Failure.self, "\(name)") {
            try value.messagePack(Self.pace(), lease: try ScriptShare(of: small).lease(for: "test"))
        }
        #expect(small.usedBytes == 0)
    }
}
