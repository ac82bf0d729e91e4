// A scan of some pieces by as many threads of the compute pool as are idle, each taking one piece after the other.

import Dispatch
import Synchronization

/// The caller's thread scans too, and does everything alone where nobody helps: so a scan never waits for a thread, but
/// at most for the piece that a helper is at (about 100 µs).
final class ParallelScan: Sendable {
    private struct State: Sendable {
        var next = 0
        var helpers = 0
        var partials: [Partial] = []
        var statistics = ScanStatistics()
        var failure: Failure?
        var isWaiting = false
    }

    private let setup: ScanSetup
    private let control: ScanControl
    private let state = Mutex(State())
    private let helperIsDone = DispatchSemaphore(value: 0)

    init(_ plan: CompiledPlan, _ pieces: [FramePiece], _ cache: ColumnCache, _ control: ScanControl) {
        setup = ScanSetup(plan, pieces, cache: cache, control: control)
        self.control = control
    }

    func run() throws(Failure) -> (partial: Partial, statistics: ScanStatistics) {
        if let pool = control.helpers, case .groups = setup.plan.output {
            for _ in 1..<max(1, min(pool.width, setup.pieces.count)) { pool.submitOptional { self.help() } }
        }
        scan()
        awaitHelpers()
        var (partials, statistics, failure) = state.withLock { state in
            defer { state.partials = [] }
            return (state.partials, state.statistics, state.failure)
        }
        if let failure { throw failure }
        guard var sum = partials.popLast() else { preconditionFailure("the caller left a partial") }
        let pace = control.pace()
        // Each is let go of once it is merged.
        while let partial = partials.popLast() { try sum.merge(partial, pace) }
        return (sum, statistics)
    }

    private func help() {
        let isLate = state.withLock { state in
            if state.next >= setup.pieces.count || state.failure != nil { return true }
            state.helpers += 1
            return false
        }
        if isLate { return }
        scan()
        let isAwaited = state.withLock { state in
            state.helpers -= 1
            return state.isWaiting && state.helpers == 0
        }
        if isAwaited { helperIsDone.signal() }
    }

    private func awaitHelpers() {
        let waits = state.withLock { state in
            state.next = setup.pieces.count
            state.isWaiting = state.helpers > 0
            return state.isWaiting
        }
        guard waits else { return }
        // A helper may be paused: its turn must be able to come.
        let wait = { self.helperIsDone.wait() }
        if let pool = control.helpers { pool.waiting(wait) } else { wait() }
    }

    private func scan() {
        var statistics = ScanStatistics()
        do throws(Failure) {
            let worker = try ScanWorker(setup, control.pace())
            while let piece = take() {
                try control.check()
                let isScanned = worker.hasAllRows ? true : try worker.scan(piece, control: control)
                statistics.rowsCovered += piece.rowCount
                control.progress(piece.rowCount)
                statistics.rowsScanned += isScanned ? piece.rowCount : 0
                statistics.chunksScanned += isScanned ? 1 : 0
                statistics.chunksPruned += isScanned ? 0 : 1
            }
            let partial = try worker.partial()
            state.withLock { state in
                state.partials.append(partial)
                state.statistics = state.statistics + statistics
            }
        } catch {
            state.withLock { $0.failure = $0.failure ?? error }
        }
    }

    private func take() -> FramePiece? {
        state.withLock { state in
            guard state.failure == nil, state.next < setup.pieces.count else { return nil }
            state.next += 1
            return setup.pieces[state.next - 1]
        }
    }
}
