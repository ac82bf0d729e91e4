// What a node's types say with `log`, on its way to the node's log: so many lines a second, and of a flood how many there were.

import Synchronization

package final class ScriptLog: Sendable {
    private struct State {
        /// When the second began that is under way.
        var beganNanoseconds: UInt64 = 0
        var lines = 0
        var dropped = 0
    }

    static let linesPerSecondMax = 100
    private static let secondNanoseconds: UInt64 = 1_000_000_000

    private let environment: any Environment
    private let sink: @Sendable (String) -> Void
    private let state = Mutex(State())

    package init(_ environment: any Environment, _ sink: @escaping @Sendable (String) -> Void) {
        self.environment = environment
        self.sink = sink
    }

    /// Called by any thread. The first line that is too much has the flood told once its second is over.
    package func say(_ line: String) {
        let now = environment.uptimeNanoseconds
        let (isSaid, isFirstDropped) = state.withLock { state in
            if now &- state.beganNanoseconds >= Self.secondNanoseconds, state.dropped == 0 {
                state = State(beganNanoseconds: now)
            }
            guard state.lines < Self.linesPerSecondMax else {
                state.dropped += 1
                return (false, state.dropped == 1)
            }
            state.lines += 1
            return (true, false)
        }
        if isSaid { sink(line) }
        if isFirstDropped { environment.schedule(afterMilliseconds: 1_000) { [self] in tellDropped() } }
    }

    private func tellDropped() {
        let dropped = state.withLock { state in
            defer { state = State(beganNanoseconds: environment.uptimeNanoseconds) }
            return state.dropped
        }
        sink("\(dropped) more lines were dropped: scripts may say \(Self.linesPerSecondMax) a second")
    }
}
