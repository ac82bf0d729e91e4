// What a node decides by comes from its environment, so that a simulation decides it: nobody asks the system beside it.

import Foundation
import Testing

@Suite struct EnvironmentUseTests {
    /// Files that may, and why.
    private static let shells: [String: String] = [
        "SystemEnvironment.swift": "is the system's environment",
        "ThreadCrew.swift": "is its threads",
        "ComputePool.swift": "measures the turns of its own threads",
        "WorkPace.swift": "holds what runs on a real thread against its deadline",
        "PlanExecutor.swift": "the same",
        "LuaBudget.swift": "the same",
        "ByteKeyTable.swift": "a seed against chosen keys, which no answer shows",
        "NIOPeerTransport.swift": "is a shell around sockets",
        "ForeignServer.swift": "is a shell around sockets",
        "PeerSecurity.swift": "nonces, which nobody may foretell",
        "ColumnCache.swift": "has a clock of its own where it is no engine's",
    ]

    private static let banned = [
        "monotonicNanoseconds()", "clock_gettime", ".random(", "randomElement", ".shuffled(", "Task.sleep", "Task {",
        "Task.detached", "DispatchQueue", "DispatchSource", "asyncAfter", "ContinuousClock", "SystemEnvironment().",
        "SystemRandomNumberGenerator",
    ]

    @Test(
        "Engine and Gather ask nobody but their environment for time, chance, timers and tasks",
        arguments: ["Engine", "Gather"])
    func sources(_ part: String) throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../Sources/\(part)").standardized
        let all = FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil)
        let files = (all?.compactMap { $0 as? URL } ?? []).filter { $0.pathExtension == "swift" }
        #expect(files.count >= 50)
        for file in files where Self.shells[file.lastPathComponent] == nil {
            for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
                let code = line.components(separatedBy: "//")[0].replacingOccurrences(of: "addTask {", with: "")
                for word in Self.banned where code.contains(word) {
                    Issue.record("\(file.lastPathComponent): \(line.trimmingCharacters(in: .whitespaces))")
                }
            }
        }
    }
}
