// Long work outside of Lua looks now and then at its deadline, at cancels, at its budget, and at whose turn it is.

/// For one thread at a time. What has a pace counts what it does, and holds no lock meanwhile: others may have their turn.
package final class WorkPace {
    /// A unit is some 10 ns: about what an instruction of Lua takes. So it looks every 0.1 ms, and in debug builds every 2 ms.
    static let unitsOfLook = 8_192

    private var unitsLeft = unitsOfLook
    private let look: (_ units: Int) throws(Failure) -> Void
    /// Why the work is to end, once that is known.
    private(set) var failure: Failure?
    /// What the work's memory is leased from.
    package let share: ScriptShare

    /// `look` is told the units since the last time, and throws when the work has to end.
    init(share: ScriptShare, look: @escaping (_ units: Int) throws(Failure) -> Void) {
        self.share = share
        self.look = look
    }

    /// Goes on until a deadline, or a cancel.
    package convenience init(deadline: Deadline, share: ScriptShare, isCancelled: @escaping () -> Bool) {
        self.init(share: share) { (_) throws(Failure) in
            if isCancelled() { throw Failure(.cancelled, "cancelled") }
            let now = monotonicNanoseconds()
            ComputePool.yieldProcessor(at: now)
            if deadline.uptimeNanoseconds <= now { throw Failure(.timeout, "the deadline passed") }
        }
    }

    /// Gives others their turns, and has no end: for what is no job's, or is done with its job.
    package static func givingWay() -> WorkPace {
        WorkPace(share: ScriptShare()) { (_) throws(Failure) in ComputePool.yieldProcessor(at: monotonicNanoseconds()) }
    }

    /// Without an end or a limit.
    package convenience init() { self.init(share: ScriptShare()) { (_) throws(Failure) in } }

    /// Counts what was done, or comes next.
    @inline(__always)
    func spend(_ units: Int) throws(Failure) {
        unitsLeft -= units
        if unitsLeft < 0 { try lookNow() }
    }

    /// The same for what can't throw: false once the work is to end, as `failure` says.
    @inline(__always)
    func goesOn(_ units: Int) -> Bool {
        unitsLeft -= units
        return unitsLeft >= 0 || looksWell()
    }

    /// Does `count` things, of so many units each, in pieces between two looks.
    @inline(__always)
    func inPieces(
        _ count: Int, units: Int = 1, _ body: (Range<Int>) throws(Failure) -> Void
    ) throws(Failure) {
        let size = max(1, Self.unitsOfLook / max(1, units))
        var start = 0
        while start < count {
            let end = min(count, start + size)
            try spend((end - start) * units)
            try body(start..<end)
            start = end
        }
    }

    @inline(never)
    private func lookNow() throws(Failure) {
        if let failure { throw failure }
        let units = Self.unitsOfLook - unitsLeft
        unitsLeft = Self.unitsOfLook
        do throws(Failure) { try look(units) } catch {
            failure = error
            // The next one too.
            unitsLeft = 0
            throw error
        }
    }

    @inline(never)
    private func looksWell() -> Bool { (try? lookNow()) != nil }

    /// Throws what `goesOn` could not.
    func check() throws(Failure) {
        if let failure { throw failure }
    }

    /// The elements in order. Once the work is to end each comparison says "in order", which ends the sort.
    func sorted<E>(_ elements: [E], by precedes: (E, E) -> Bool) throws(Failure) -> [E] {
        let sorted = elements.sorted { goesOn(4) && precedes($0, $1) }
        try check()
        return sorted
    }
}
