// What the documentation names is there: links lead to files, and source files that are mentioned exist.

import Foundation
import Testing

@Suite struct DocumentationTests {
    private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    private static func files(under folder: String, withSuffix suffixes: [String]) -> [URL] {
        let walker = FileManager.default.enumerator(
            at: root.appendingPathComponent(folder), includingPropertiesForKeys: nil)
        return (walker?.compactMap { $0 as? URL } ?? []).filter { file in suffixes.contains { file.path.hasSuffix($0) }
        }
    }

    private static let documents =
        files(under: "docs", withSuffix: [".md"]) + [root.appendingPathComponent("README.md")]

    @Test("every link to a file of this repository leads somewhere")
    func links() throws {
        #expect(Self.documents.count > 10)
        for document in Self.documents {
            let text = try String(contentsOf: document, encoding: .utf8)
            for match in text.matches(of: #/\]\(([^)#\s]+)(#[^)]*)?\)/#) where !match.1.contains("://") {
                let target = document.deletingLastPathComponent().appendingPathComponent(String(match.1))
                #expect(
                    FileManager.default.fileExists(atPath: target.path),
                    "\(document.lastPathComponent) links to \(match.1)")
            }
        }
    }

    @Test("every source file that is named exists")
    func sourceFiles() throws {
        let suffixes = [".swift", ".lua", ".c", ".h", ".py"]
        let names = Set(
            ["Sources", "Tests", "Benchmarks", "jobs", "datasets"]
                .flatMap { Self.files(under: $0, withSuffix: suffixes) }.map(\.lastPathComponent))
        for document in Self.documents where !document.path.contains("/decisions/") {
            let text = try String(contentsOf: document, encoding: .utf8)
            for match in text.matches(of: #/`([A-Za-z0-9_+\/.-]+\.(swift|c|h))`/#) {
                let name = match.1.split(separator: "/").last.map(String.init) ?? ""
                #expect(names.contains(name), "\(document.lastPathComponent) names \(match.1)")
            }
        }
    }
}
