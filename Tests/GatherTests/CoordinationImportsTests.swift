// The pure target stays pure: what it imports has no clock, no thread, no socket and no chance in it.

import Foundation
import Testing

@Suite struct CoordinationImportsTests {
    /// swift-crypto's hashes and codes; nothing of it is asked for random numbers here.
    private static let allowed: Set<String> = ["Crypto"]

    private static var files: [URL] {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../Sources/Gather/Coordination").standardized
        let all = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
        return (all?.compactMap { $0 as? URL } ?? []).filter { $0.pathExtension == "swift" }
    }

    @Test("every import of the coordination target is one of the few that are allowed")
    func imports() throws {
        #expect(Self.files.count >= 8)
        for file in Self.files {
            for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
                let words = line.split(separator: " ").map(String.init)
                guard let at = words.firstIndex(of: "import"), !line.contains("//") else { continue }
                let module =
                    words[(at + 1)...].first { !["struct", "class", "enum", "func", "var"].contains($0) } ?? ""
                #expect(
                    Self.allowed.contains(String(module.prefix { $0 != "." })), "\(file.lastPathComponent): \(line)")
            }
        }
    }

    @Test("nothing in the coordination target asks the standard library for a clock, a thread or chance")
    func standardLibrary() throws {
        let banned = [
            "ContinuousClock", "SuspendingClock", "Task {", "Task.", "await ", ".random(",
            "SystemRandomNumberGenerator",
            "randomElement", ".shuffled(", "Hasher(", "SymmetricKey(size", "nonisolated(unsafe)",
        ]
        for file in Self.files {
            let text = try String(contentsOf: file, encoding: .utf8)
            for word in banned { #expect(!text.contains(word), "\(file.lastPathComponent) has \(word)") }
        }
    }
}
