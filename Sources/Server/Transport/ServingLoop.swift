// A serving thread: waits for its connections, lets each of them work when there is something to do, and runs errands
// that other threads leave with it.

import CLinux
import Engine
import Glibc
import Synchronization

/// Something with a descriptor that lives on a loop. All its methods are called on the loop's thread.
class LoopMember {
    let descriptor: Int32

    init(descriptor: Int32) { self.descriptor = descriptor }

    func becameReady(_ readiness: Readiness) {}
    /// Several members are ready, this one among them: it may read what has come already, into `buffer`, which is its own
    /// until it became ready. The answer, if any, is the hash of a key that will be looked for then.
    func readAhead(_ readiness: Readiness, into buffer: UnsafeMutableRawBufferPointer) -> UInt64? { nil }
    /// Starts to bring in the memory that looking for these keys will take: its own and those of other members.
    func prefetch(_ hashes: UnsafeBufferPointer<UInt64>) {}
    /// Its turn again: see `ServingLoop.deferTurn`.
    func goOn() {}
    /// It has waited long enough: see `ServingLoop.holdBack`.
    func holdingEnds() {}
    /// Ten times a second, while the loop is asked to tick. `nowMilliseconds`: of a clock that only goes forward.
    func tick(nowMilliseconds: Int) {}
    /// The process is about to end: answers what it was asked, and then closes. True once there is nothing more to answer, or
    /// nothing of the kind; asked again until then.
    func finish() -> Bool { true }
    /// The loop ends: the descriptor has to be closed.
    func loopEnds() {}
}

package final class ServingLoop: @unchecked Sendable {
    package typealias Errand = @Sendable () -> Void

    private struct Inbox {
        var errands: [Errand] = []
        /// The thread was woken and has not looked in yet.
        var wasWoken = false
        var ends = false
    }

    /// What one read takes in at most, in bytes.
    private static let inputBytes = 64 << 10
    /// A buffer that grew beyond this for a large answer is not kept for the next one, in bytes.
    private static let spareBytesMax = 1 << 20

    private static let tickMilliseconds = 100

    /// How many members read ahead together, and how much each, in bytes.
    private static let aheadMax = 16
    static let aheadBytes = 2 << 10

    package let index: Int
    private let poll = EventPoll()
    private let inbox = Mutex(Inbox())
    private var thread = pthread_t()
    /// The loop's thread, once it runs.
    private let threadNumber = Atomic<UInt>(0)

    // Everything below is touched on the loop's thread alone.
    @exclusivity(unchecked) private var members: [LoopMember?] = []
    /// Unix seconds, as of the last time that events came.
    @exclusivity(unchecked) private(set) var second = SystemEnvironment().unixSeconds
    private var lastTickMilliseconds = 0
    /// Members that have more to do at once.
    @exclusivity(unchecked) private var deferred: [LoopMember] = []
    /// Members that hold something back.
    @exclusivity(unchecked) private var holding: [LoopMember] = []
    /// Goes on each time that they are asked to hold it no longer.
    private(set) var holdingRound: UInt64 = 0
    /// Errands of this thread for itself, and what is to be done once all that is ready was looked at.
    @exclusivity(unchecked) private var own: [Errand] = []
    @exclusivity(unchecked) private var afterTurns: [Errand] = []
    /// For how many turns what is in `afterTurns` has waited.
    private var turnsGathered = 0
    @exclusivity(unchecked) private var timers = LoopTimers()
    /// How many members want to be ticked.
    private var tickers = 0
    /// All connections read into this: what they can't use at once they copy.
    let input: UnsafeMutableRawBufferPointer
    /// What members have read ahead of their turn, and the keys that they will look for.
    private let ahead: UnsafeMutableRawBufferPointer
    private let hashes: UnsafeMutableBufferPointer<UInt64>
    /// Lent to the connection at work, so that answers are written where the cache is warm, and idle connections hold no
    /// memory for them.
    @exclusivity(unchecked) private var spare = ReplyBuffer(capacity: 64 << 10)

    /// Starts the thread.
    package init(index: Int) {
        self.index = index
        input = .allocate(byteCount: Self.inputBytes, alignment: 64)
        ahead = .allocate(byteCount: Self.aheadMax * Self.aheadBytes, alignment: 64)
        hashes = .allocate(capacity: Self.aheadMax)
        let context = Unmanaged.passRetained(self).toOpaque()
        let outcome = pthread_create(
            &thread, nil,
            { context in
                let loop = Unmanaged<ServingLoop>.fromOpaque(context!).takeRetainedValue()
                linux_name_thread("serve-\(loop.index)")
                linux_set_thread_number(Int32(loop.index))
                loop.run()
                return nil
            }, context)
        precondition(outcome == 0, "no thread could be started")
    }

    deinit {
        input.deallocate()
        ahead.deallocate()
        hashes.deallocate()
    }

    // MARK: From any thread

    /// Runs `errand` on the loop's thread, soon; never after the loop's end.
    package func execute(_ errand: @escaping Errand) {
        if isCurrent { return own.append(errand) }
        let mustWake = inbox.withLock { inbox in
            guard !inbox.ends else { return false }
            inbox.errands.append(errand)
            defer { inbox.wasWoken = true }
            return !inbox.wasWoken
        }
        if mustWake { poll.wake() }
    }

    /// Whether this is the loop's thread.
    package var isCurrent: Bool { threadNumber.load(ordering: .relaxed) == UInt(pthread_self()) }

    /// Closes all connections and ends the thread; returns when it has. Not to be called on the loop's own thread.
    package func shutdown() {
        inbox.withLock { $0.ends = true }
        poll.wake()
        pthread_join(thread, nil)
    }

    /// Has all connections answer what they were asked, and close. True once all have.
    package func finishMembers() async -> Bool {
        await withCheckedContinuation { continuation in
            execute { [self] in
                var areDone = true
                for member in members { if let member, !member.finish() { areDone = false } }
                continuation.resume(returning: areDone)
            }
        }
    }

    // MARK: On the loop's thread

    /// Runs `errand` before the loop waits again, after everything else that is to be done now: what several connections
    /// want to send to one place leaves together.
    package func afterTurn(_ errand: @escaping Errand) { afterTurns.append(errand) }

    /// False where the kernel takes no more: then the member is not the loop's.
    func add(_ member: LoopMember, _ readiness: Readiness) -> Bool {
        guard poll.add(member.descriptor, readiness) else { return false }
        let at = Int(member.descriptor)
        if at >= members.count { members += repeatElement(nil, count: at + 1 - members.count) }
        members[at] = member
        return true
    }

    func watch(_ member: LoopMember, _ readiness: Readiness) { poll.change(member.descriptor, readiness) }

    /// Before the descriptor is closed, or given to somebody else.
    func remove(_ member: LoopMember) {
        poll.remove(member.descriptor)
        members[Int(member.descriptor)] = nil
    }

    /// To be balanced: members are ticked while anybody needs it.
    func startTicking() { tickers += 1 }
    func stopTicking() { tickers -= 1 }

    /// Frees the spare buffer of what a very large answer made of it.
    @inline(__always)
    func trimSpare() {
        if spare.capacity > Self.spareBytesMax { spare = ReplyBuffer(capacity: Self.inputBytes) }
    }

    private func run() {
        threadNumber.store(UInt(pthread_self()), ordering: .relaxed)
        var mustEnd = false
        while !mustEnd {
            let count = poll.wait(milliseconds: waitMilliseconds)
            second = SystemEnvironment().unixSeconds
            if !deferred.isEmpty { runDeferred() }
            for at in 0..<count {
                if at % Self.aheadMax == 0, count &- at > 1 { readAhead(at..<min(count, at &+ Self.aheadMax)) }
                let (descriptor, readiness) = poll.event(at)
                if descriptor == poll.alarm {
                    poll.silence()
                    mustEnd = runErrands()
                } else {
                    // A member that left while this batch was worked through is none any more.
                    members[Int(descriptor)]?.becameReady(readiness)
                }
            }
            if timers.firstNanoseconds < .max { runTimers() }
            if tickers > 0 { tickMembers() }
            if !own.isEmpty || !afterTurns.isEmpty { endTurn(hasSeenEvents: count > 0) }
        }
        for member in members { member?.loopEnds() }
        members = []
    }

    /// How long there is nothing to do but for what comes; -1: for ever.
    private var waitMilliseconds: Int32 {
        guard deferred.isEmpty, own.isEmpty, afterTurns.isEmpty else { return 0 }
        let tick = tickers > 0 ? Int32(Self.tickMilliseconds) : -1
        guard timers.firstNanoseconds < .max else { return tick }
        let now = monotonicNanoseconds()
        guard timers.firstNanoseconds > now else { return 0 }
        let left = Int32(clamping: (timers.firstNanoseconds - now) / 1_000_000 + 1)
        return tick < 0 ? left : min(tick, left)
    }

    /// The number that takes it away again.
    func addTimer(afterMilliseconds milliseconds: Int, _ errand: @escaping @Sendable () -> Void) -> UInt64 {
        timers.add(afterMilliseconds: milliseconds, now: monotonicNanoseconds(), errand)
    }

    func removeTimer(_ number: UInt64) { timers.remove(number) }

    private func runTimers() {
        let now = monotonicNanoseconds()
        guard now >= timers.firstNanoseconds else { return }
        for errand in timers.takeDue(now: now) { errand() }
    }

    /// Errands may leave others; those of many rounds wait until clients had their turn. What is to leave at the end waits, for a
    /// few turns, until nothing more is ready: while this thread worked others may have sent more, which then goes with it.
    private func endTurn(hasSeenEvents: Bool) {
        for _ in 0..<Self.roundsPerTurn where !own.isEmpty {
            var round: [Errand] = []
            swap(&round, &own)
            for errand in round { errand() }
        }
        guard !hasSeenEvents || turnsGathered >= Self.turnsGatheredMax else {
            turnsGathered += 1
            return
        }
        turnsGathered = 0
        var last: [Errand] = []
        swap(&last, &afterTurns)
        for errand in last { errand() }
    }

    private static let roundsPerTurn = 4
    private static let turnsGatheredMax = 4

    /// Members that are ready at the same time wait for memory at the same time.
    private func readAhead(_ events: Range<Int>) {
        var count = 0
        var asker: LoopMember?
        for at in events {
            let (descriptor, readiness) = poll.event(at)
            guard descriptor != poll.alarm, let member = members[Int(descriptor)] else { continue }
            let start = (at &- events.lowerBound) &* Self.aheadBytes
            let buffer = UnsafeMutableRawBufferPointer(rebasing: ahead[start..<start &+ Self.aheadBytes])
            guard let hash = member.readAhead(readiness, into: buffer) else { continue }
            hashes[count] = hash
            count &+= 1
            asker = member
        }
        if count > 1 { asker?.prefetch(UnsafeBufferPointer(rebasing: hashes[..<count])) }
    }

    /// Lends a buffer to the member at work; it leaves another, or the same, in its place.
    @inline(__always)
    func withSpare(_ body: (inout ReplyBuffer) -> Void) { body(&spare) }

    /// Lets the member go on after the others have had their turn.
    func deferTurn(of member: LoopMember) { deferred.append(member) }

    /// Calls the member's `holdingEnds` in a millisecond or two: what it would send now may go with what comes meanwhile. Cost: a
    /// place in a list; a timer serves all that hold something.
    func holdBack(_ member: LoopMember) {
        if holding.isEmpty {
            _ = addTimer(afterMilliseconds: 1) { [weak self] in self?.endHolding() }
        }
        holding.append(member)
    }

    private func endHolding() {
        holdingRound &+= 1
        var ended: [LoopMember] = []
        swap(&ended, &holding)
        for member in ended { member.holdingEnds() }
    }

    private func runDeferred() {
        var turn: [LoopMember] = []
        swap(&turn, &deferred)
        for member in turn { member.goOn() }
    }

    /// True once the loop is to end.
    private func runErrands() -> Bool {
        let (errands, ends) = inbox.withLock { inbox in
            inbox.wasWoken = false
            defer { inbox.errands = [] }
            return (inbox.errands, inbox.ends)
        }
        for errand in errands { errand() }
        return ends
    }

    /// Milliseconds of a clock that only goes forward.
    var nowMilliseconds: Int { Int(monotonicNanoseconds() / 1_000_000) }

    private func tickMembers() {
        let now = nowMilliseconds
        guard now - lastTickMilliseconds >= Self.tickMilliseconds else { return }
        lastTickMilliseconds = now
        for member in members { member?.tick(nowMilliseconds: now) }
    }
}
