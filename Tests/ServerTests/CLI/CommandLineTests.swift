// Arguments byte for byte, JSON that loses nothing, and answers that say whether it was done.

import Engine
import Server
import Testing

@Suite struct CommandLineTests {
    private static let arguments: [[UInt8]] = [
        [], Array("plain".utf8), Array("Müller 🦊".utf8), [0xFC], [0x61, 0xFF, 0x62], [0xC3], [0xC3, 0x28],
        [0xE2, 0x82],
        Array("\u{10FF80}".utf8), Array("a\u{10FFFF}b\u{10FFFD}".utf8), Array("\u{10FF7F}\u{10FF00}".utf8),
        Array("\u{10FF80}".utf8) + [0xFC], [0xFC] + Array("\u{10FFFF}".utf8), [0xF4, 0x8F, 0xBE],
        [0xF4, 0x8F, 0xBE, 0x80, 0x80],
        [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80],
    ]

    @Test("an argument's text gives back its bytes, whatever they and those of other arguments are")
    func bytes() {
        for argument in Self.arguments {
            #expect(CommandLineBytes.bytes(of: CommandLineBytes.text(argument)) == argument)
        }
        for value in UInt32(0x10_FF00)...0x10_FFFF {
            let bytes = Array(String(Unicode.Scalar(value)!).utf8)
            #expect(CommandLineBytes.bytes(of: CommandLineBytes.text(bytes)) == bytes)
        }
        for first in UInt8(0x80)...0xFF {
            for second in UInt8(0x60)...0xFF {
                #expect(CommandLineBytes.bytes(of: CommandLineBytes.text([first, second])) == [first, second])
            }
        }
        #expect(CommandLineBytes.text(Array("Müller".utf8)) == "Müller")
        #expect(Set(Self.arguments.map(CommandLineBytes.text)).count == Self.arguments.count)
    }

    @Test("JSON says text that is not UTF-8 in base64, wherever it stands, and all other values as they are")
    func json() {
        let cases: [(Value, String)] = [
            (.bytes([0xFF, 0x00, 0x61]), "{\"base64\":\"/wBh\"}"), (.string("Müller"), "\"Müller\""),
            (.bytes([]), "\"\""),
            (.array([.bytes([0xFC]), .string("x")]), "[{\"base64\":\"/A==\"},\"x\"]"),
            (.object(["k": .bytes([0xFC]), "n": .int(1)]), "{\"k\":{\"base64\":\"/A==\"},\"n\":1}"), (.null, "null"),
        ]
        for (value, text) in cases { #expect(String(decoding: MachineAnswer.json(value), as: UTF8.self) == text) }
    }

    @Test(
        "a method's answer says whether it was done; the same word as a plain key's value says nothing",
        arguments: [
            ("quota:new:q:x", "NOT_CREATED", true), ("quota:new:q:5", "CREATED", false),
            ("quota:add:q:5", "EXISTS", true),
            ("counter:create:c", "EXISTS", true), ("bloom:add:b:x", "EXISTS", true), ("bloom:add:b:x", "ADDED", false),
            ("set:exist:s:x", "EXISTS", false), ("set:exist:s:x", "NOT_FOUND", true),
            ("map:get:m:k", "NOT_FOUND", true),
            ("map:get:m:k", "k : NOT_FOUND", false), ("lock:release:l:1", "NOT_HELD", true),
            ("lock:release:l:1", "RELEASED", false),
            ("lock:acquire:l:5", "LOCKED", true), ("quota:addandcheck:q:1", "QUOTA_EXCEEDED", true),
            ("quota:addandcheck:q:1", "QUOTA_OK", false), ("plain", "NOT_FOUND", false),
            ("user:1", "NOT_CREATED", false),
            ("bag:size:b", "ERROR_CACHE_MISS", true), ("set:put:s:a:b", "NOT_STORED", true),
        ])
    func refusals(key: String, answer: String, isRefusal: Bool) {
        #expect(MachineAnswer.isRefusal(.string(answer), to: key) == isRefusal)
        #expect(!MachineAnswer.isRefusal(.array([.string(answer)]), to: key))
    }
}
