// Who goes next on a pool's threads: what is short and awaited, what is new, what has had a turn already, what is optional.

import DequeModule

/// Pure. `Work` has not begun; `Paused` has, and is long. What is new goes before what is paused, and what is urgent before
/// both, but none of them for ever: after some of one kind comes one of the next.
package struct TurnQueue<Work, Paused> {
    package enum Next {
        case begin(Work)
        case goOn(Paused)
    }

    static var urgentInARowMax: Int { 16 }
    static var newInARowMax: Int { 4 }
    /// What helps others to be done sooner is dropped when there is much of it.
    static var optionalMax: Int { 64 }
    /// How long a turn is while something new waits, and while only what is paused does.
    static var turnNanoseconds: UInt64 { 2_000_000 }
    static var longTurnNanoseconds: UInt64 { 8_000_000 }

    private var urgent = Deque<Next>()
    private var new = Deque<Work>()
    private var paused = Deque<Paused>()
    private var optional = Deque<Work>()
    /// Of what is urgent, how many have begun.
    private var urgentPaused = 0
    private var urgentInARow = 0
    private var newInARow = 0
    /// How many have been given out: whoever looks twice knows whether somebody had a turn.
    package private(set) var turns: UInt64 = 0

    package init() {}

    package mutating func add(urgent work: Work) { urgent.append(.begin(work)) }
    /// What is urgent and long is so after its turns, too: it waits for nobody but the others of its kind.
    package mutating func add(urgentPaused turn: Paused) {
        urgent.append(.goOn(turn))
        urgentPaused += 1
    }
    package mutating func add(_ work: Work) { new.append(work) }
    package mutating func add(paused: Paused) { self.paused.append(paused) }
    package mutating func add(optional work: Work) {
        optional.append(work)
        if optional.count > Self.optionalMax { optional.removeFirst() }
    }

    /// What is urgent, or has not begun and is not optional.
    package var waiting: Int { urgent.count + new.count }
    package var pausedCount: Int { paused.count + urgentPaused }

    /// Whether what has run for so long is to make room.
    package func endsTurn(after nanoseconds: UInt64) -> Bool {
        if waiting > 0 { return nanoseconds >= Self.turnNanoseconds }
        return !paused.isEmpty && nanoseconds >= Self.longTurnNanoseconds
    }

    package mutating func next() -> Next? {
        guard let next = pick() else { return nil }
        turns &+= 1
        return next
    }

    private mutating func pick() -> Next? {
        let othersWait = !new.isEmpty || !paused.isEmpty
        if !othersWait || urgentInARow < Self.urgentInARowMax, let next = urgent.popFirst() {
            urgentInARow = othersWait ? urgentInARow + 1 : 0
            if case .goOn = next { urgentPaused -= 1 }
            return next
        }
        urgentInARow = 0
        if paused.isEmpty || newInARow < Self.newInARowMax, let work = new.popFirst() {
            newInARow = paused.isEmpty ? 0 : newInARow + 1
            return .begin(work)
        }
        newInARow = 0
        if let turn = paused.popFirst() { return .goOn(turn) }
        return optional.popFirst().map { .begin($0) }
    }
}
