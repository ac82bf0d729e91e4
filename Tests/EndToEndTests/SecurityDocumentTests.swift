// docs/security.md is held by tests: each that it names is there.

import Foundation
import Testing

@Suite struct SecurityDocumentTests {
    /// The sentences of all tests.
    private static func sentences() -> Set<String> {
        let walker = FileManager.default.enumerator(
            at: URL(fileURLWithPath: Place.file("Tests")), includingPropertiesForKeys: nil)
        let files = (walker?.compactMap { $0 as? URL } ?? []).filter { $0.pathExtension == "swift" }
        return Set(
            files.flatMap { file -> [String] in
                guard let text = try? String(contentsOf: file, encoding: .utf8) else { return [] }
                return text.matches(of: #/@Test\(\s*"((?:[^"\\]|\\.)*)"/#).map { String($0.1) }
            })
    }

    @Test("each test that the threat model names is there, and nearly each of its limits names one")
    func tests() throws {
        let text = try String(contentsOfFile: Place.file("docs/security.md"), encoding: .utf8)
        let known = Self.sentences()
        #expect(known.count > 500)
        var (named, bare) = (0, 0)
        for section in text.components(separatedBy: "\n## ") {
            guard section.contains(" | test |\n") else { continue }
            let rows = section.split(separator: "\n").filter { $0.hasPrefix("| ") && !$0.hasSuffix("| test |") }
            for row in rows {
                guard let match = row.firstMatch(of: #/\| \*([^|]+)\* \|$/#) else {
                    bare += 1
                    continue
                }
                named += 1
                #expect(known.contains(String(match.1)), "\(row)")
            }
        }
        #expect(named > 40 && bare <= 2)
    }
}
