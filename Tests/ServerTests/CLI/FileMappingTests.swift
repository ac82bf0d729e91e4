// Which of the process's pages can be read again from their files.

import Server
import Testing

@Suite struct FileMappingTests {
    private static func entry(_ head: String, anonymousKiB: Int = 0, swapKiB: Int = 0) -> [String] {
        [
            "\(head)\n", "Size:                272 kB\n", "Rss:                 272 kB\n",
            "Anonymous:        \(anonymousKiB) kB\n", "Swap:             \(swapKiB) kB\n", "VmFlags: rd mr mw\n",
        ]
    }

    private static func line(_ range: String, _ permissions: String, _ offset: String) -> String {
        "\(range) \(permissions) \(offset) fe:00 1234                       /usr/bin/cacheismo"
    }

    private static let constants = line("55e0a0000000-55e0a0044000", "r--p", "00010000")
    private static let relocated = line("55e0a0044000-55e0a0088000", "r--p", "00054000")
    private static let code = line("55e0a0088000-55e0a00cc000", "r-xp", "00098000")
    private static let writable = line("55e0a00cc000-55e0a00dd000", "rw-p", "000dc000")
    private static let anonymous = "7f0000000000-7f0000001000 r--p 00000000 00:00 0"
    private static let vdso = "7f0000002000-7f0000003000 r-xp 00000000 00:00 0                          [vdso]"

    @Test("only what the file holds too is given back: constants, not what the linker wrote to, nor data")
    func unchangedConstants() throws {
        let smaps =
            Self.entry(Self.constants) + Self.entry(Self.relocated, anonymousKiB: 4)
            + Self.entry(Self.code) + Self.entry(Self.writable, anonymousKiB: 68) + Self.entry(Self.anonymous)
            + Self.entry(Self.vdso)
        let expected = try #require(FileMapping(Self.constants))
        #expect(FileMapping.unchangedConstants(smaps: smaps) == [expected])
        #expect(FileMapping.unchangedConstants(smaps: Self.entry(Self.constants, swapKiB: 4)) == [])
        #expect(FileMapping.unchangedConstants(smaps: []) == [])
    }

    @Test("a line of maps gives addresses, and is equal only to a line of the same file's same part")
    func lines() throws {
        let mapping = try #require(FileMapping(Self.constants + "\n"))
        #expect(mapping.start == 0x55e0_a000_0000 && mapping.byteCount == 0x44000 && !mapping.isCode)
        #expect(FileMapping(Self.constants.replacing("1234", with: "1235")) != mapping)
        #expect(FileMapping(Self.constants.replacing("r--p", with: "rw-p")) != mapping)
        #expect(FileMapping(Self.code)?.isCode == true)
        for line in [Self.anonymous, Self.vdso, "", "x-y r-xp 0 0 0 /f", "2-1 r-xp 0 0 0 /f", "0-1 r-xp 0 0 0 /f"] {
            #expect(FileMapping(line) == nil)
        }
    }
}
