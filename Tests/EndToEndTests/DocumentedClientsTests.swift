// The programs of docs/clients.md, run as they stand there against a node, and what they are said to print.

import Foundation
import Testing

/// The document marks a program by `<!-- client: NAME -->` above a block, and what it prints by `<!-- prints: NAME -->` above
/// another.
@Suite(.serialized) struct DocumentedClientsTests {
    struct Program: Sendable, CustomTestStringConvertible {
        let name: String
        let source: String
        let printed: String?
        var testDescription: String { name }

        /// What runs it, and with what of the environment; `folder` goes with the run.
        func command(in folder: String) -> [String] {
            switch name.split(separator: ".").last {
            case "py": [Place.python]
            case "php": ["php"]
            case "go":
                [
                    "GO111MODULE=off", "GOPATH=/usr/share/gocode", "GOCACHE=\(folder)/cache", "HOME=\(folder)", "go",
                    "run",
                ]
            default: []
            }
        }
    }

    static let programs: [Program] = {
        let text = (try? String(contentsOfFile: Place.file("docs/clients.md"), encoding: .utf8)) ?? ""
        func blocks(_ kind: String) -> [(name: String, text: String)] {
            text.matches(of: #/<!-- (client|prints): (\S+) -->\n```[a-z]*\n(.*?)```/#.dotMatchesNewlines())
                .filter { $0.1 == kind }.map { (String($0.2), String($0.3)) }
        }
        let printed = Dictionary(blocks("prints").map { ($0.name, $0.text) }, uniquingKeysWith: { first, _ in first })
        return blocks("client").map { Program(name: $0.name, source: $0.text, printed: printed[$0.name]) }
    }()

    @Test("there are the clients that the document says the tests run")
    func programsAreThere() {
        #expect(
            Self.programs.map(\.name) == [
                "pymemcache.py", "pylibmc.py", "pylibmc-binary.py", "memcached.php", "memcached-binary.php", "main.go",
            ])
    }

    @Test("a program prints what the document says", arguments: programs)
    func prints(_ program: Program) throws {
        let cluster = try TestCluster(nodes: 1)
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("cacheismo-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        // Not named like the module that it is about.
        let file = folder.appendingPathComponent("program-\(program.name)")
        try program.source.replacing("11211", with: "\(cluster[0].port)").write(
            to: file, atomically: false, encoding: .utf8)
        let run = try Finished.run("/usr/bin/env", program.command(in: folder.path) + [file.path])
        #expect(run.code == 0 && run.output == program.printed, "\(run.output)\n\(run.errors)")
    }
}
