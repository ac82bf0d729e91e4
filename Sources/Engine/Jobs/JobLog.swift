// What a job's scripts say with `log` and `print`, on all nodes: the first lines, and how many more there were.

import Synchronization

/// Lines as they travel, and as an envelope has them.
package struct LoggedLines: Sendable, Equatable {
    package static let linesMax = 100
    /// What a line may have as it travels, in bytes: more than one that was said.
    package static let lineBytesMax = 4_096

    package var lines: [String]
    /// Beyond those that are kept.
    package var dropped: Int

    package init(_ lines: [String] = [], dropped: Int = 0) {
        self.lines = lines
        self.dropped = dropped
    }

    package var isEmpty: Bool { lines.isEmpty && dropped == 0 }

    /// What they take in memory.
    package var heldBytes: Int { lines.reduce(0) { $0 + Self.heldBytes(of: $1) } }

    static func heldBytes(of line: String) -> Int { MemoryLayout<String>.stride + 32 + line.utf8.count }
}

/// Of one job as a whole, or of its part on a node. Written by all scripts of that, whatever threads they are on.
package final class JobLog: Sendable {
    private enum Place: Sendable {
        /// What the lines take is on this lease.
        case kept(MemoryLease)
        /// Lines go to that one at once, behind a name.
        case partOf(JobLog, String)
    }

    private let place: Place
    private let said = Mutex(LoggedLines())

    /// - Parameter memory: what its lines are leased from; what there is no memory for is dropped.
    package init(memory: ScriptMemory) {
        place = .kept(ScriptShare(of: memory).emptyLease(for: "what a job logs"))
    }

    /// What a node says, told with its name.
    package init(partOf whole: JobLog, node: String) { place = .partOf(whole, node) }

    /// None of a part.
    package var lines: LoggedLines { said.withLock { $0 } }

    package func say(_ line: String) {
        switch place {
        case .partOf(let whole, let node): whole.say("\(node): \(line)")
        case .kept(let lease):
            said.withLock { said in
                if said.lines.count < LoggedLines.linesMax, Self.take(line, from: lease) {
                    said.lines.append(line)
                } else {
                    said.dropped = said.dropped.clampedAdding(1)
                }
            }
        }
    }

    /// What was said elsewhere.
    package func add(_ more: LoggedLines) {
        for line in more.lines { say(line) }
        addDropped(more.dropped)
    }

    private func addDropped(_ count: Int) {
        switch place {
        case .partOf(let whole, _): whole.addDropped(count)
        case .kept: said.withLock { $0.dropped = $0.dropped.clampedAdding(max(0, count)) }
        }
    }

    private static func take(_ line: String, from lease: MemoryLease) -> Bool {
        do throws(Failure) { try lease.take(LoggedLines.heldBytes(of: line)) } catch { return false }
        return true
    }
}
