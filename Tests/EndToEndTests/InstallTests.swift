// What `make install` puts below a folder: the program, a manual page that `man` reads, completions that shells read; and its removal.

import Foundation
import Testing

@Suite(.serialized) struct InstallTests {
    private static let completions = [
        "bash": "share/bash-completion/completions/cacheismo", "zsh": "share/zsh/site-functions/_cacheismo",
        "fish": "share/fish/vendor_completions.d/cacheismo.fish",
    ]
    private static let manual = "share/man/man1/cacheismo.1"

    private func files(below folder: URL) -> [String] {
        let all = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: [.isRegularFileKey])
        return (all?.compactMap { $0 as? URL } ?? []).filter { !$0.hasDirectoryPath }
            .map { String($0.path.dropFirst(folder.path.count + 1)) }.sorted()
    }

    private func make(_ target: String, _ folder: URL) throws -> Finished {
        try Finished.run(
            "/usr/bin/make",
            ["-s", "-C", Place.root.path, target, "DESTDIR=\(folder.path)", "PREFIX=/opt", "BINARY=\(Place.binary)"])
    }

    @Test(
        "make install puts everything below DESTDIR and PREFIX, each file as its reader wants it; make uninstall removes it"
    )
    func install() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("cacheismo-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let run = try make("install", folder)
        #expect(run.code == 0, "\(run)")
        let wanted = (["bin/cacheismo", Self.manual] + Self.completions.values).map { "opt/" + $0 }.sorted()
        #expect(files(below: folder) == wanted)
        func path(_ name: String) -> String { folder.appendingPathComponent("opt/" + name).path }

        let version = try Finished.run(path("bin/cacheismo"), ["--version"])
        #expect(version.code == 0)
        let lint = try Finished.run("/usr/bin/mandoc", ["-T", "lint", path(Self.manual)])
        #expect(lint.code == 0 && lint.output == "", "\(lint.output)")
        let page = try Finished.run("/usr/bin/mandoc", ["-T", "ascii", path(Self.manual)])
        let plain = page.output.replacing(#/.\u{8}/#, with: "")
        for words in ["cacheismo job define name file", "--frame-memory frame-memory", "EXIT STATUS", "-p port"] {
            #expect(plain.contains(words), "\(words)")
        }
        #expect(!plain.contains("exit-on-stdin-close"))
        for (shell, name) in Self.completions {
            let parsed = try Finished.run("/usr/bin/env", [shell, "-n", path(name)])
            #expect(parsed.code == 0 && parsed.errors == "", "\(shell): \(parsed.errors)")
        }
        // As bash asks for it, of a command that has more than one word.
        let completed = try Finished.run(
            "/usr/bin/env",
            [
                "bash", "-c",
                """
                source "$1"
                COMP_WORDS=(cacheismo cluster o) COMP_CWORD=2 COMP_LINE="cacheismo cluster o" COMP_POINT=19
                _cacheismo cacheismo o cluster
                echo "${COMPREPLY[@]}"
                """, "bash", path(Self.completions["bash"] ?? ""),
            ])
        #expect(completed.output == "owner\n", "\(completed)")

        let removed = try make("uninstall", folder)
        #expect(removed.code == 0 && files(below: folder) == [], "\(removed)")
    }

    @Test("what can't be installed says why, and leaves nothing behind")
    func failures() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("cacheismo-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let script = Place.file("scripts/install-program")
        for (arguments, words) in [
            (["install", "/nonexistent", folder.path], "/nonexistent"),
            (["install", "/bin/false", folder.path], "failed"),
            (["install"], "usage"), ([], "install or uninstall"),
        ] {
            let run = try Finished.run(script, arguments)
            #expect(run.code == 1 && run.errors.contains(words), "\(arguments): \(run)")
        }
        #expect(files(below: folder) == [])
    }
}
