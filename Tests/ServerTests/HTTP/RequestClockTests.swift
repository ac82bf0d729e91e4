// How long requests may take to come: tables of what happens on a connection, second by second.

import Server
import Testing

@Suite struct RequestClockTests {
    private enum Event { case bytes, rest, head, end, answer, answered }

    private static func verdict(_ events: [(UInt64, Event)], at seconds: UInt64) -> RequestClock.Verdict {
        func nanoseconds(_ seconds: UInt64) -> UInt64 { seconds * 1_000_000_000 }
        var clock = RequestClock(limitSeconds: 30, now: 0)
        for (seconds, event) in events {
            let now = nanoseconds(seconds)
            switch event {
            case .bytes: clock.bytesCame(now: now)
            case .rest: clock.restCame(now: now)
            case .head: clock.headCame(now: now)
            case .end: clock.endCame()
            case .answer: clock.answerBegan()
            case .answered: clock.answerEnded(now: now)
            }
        }
        return clock.verdict(now: nanoseconds(seconds))
    }

    private static func wait(_ seconds: UInt64) -> RequestClock.Verdict {
        .wait(untilNanoseconds: seconds * 1_000_000_000)
    }

    @Test("a connection on which nothing comes is closed")
    func idle() {
        #expect(Self.verdict([], at: 29) == Self.wait(30))
        #expect(Self.verdict([], at: 30) == .close)
        let one: [(UInt64, Event)] = [(5, .bytes), (5, .head), (5, .end), (9, .answer), (9, .answered)]
        #expect(Self.verdict(one, at: 38) == Self.wait(39))
        #expect(Self.verdict(one, at: 39) == .close)
    }

    @Test("a head has its time as a whole, a body may not stall")
    func slow() {
        let head: [(UInt64, Event)] = [(5, .bytes), (20, .bytes), (34, .bytes)]
        #expect(Self.verdict(head, at: 34) == Self.wait(35))
        #expect(Self.verdict(head, at: 35) == .refuse)
        let body: [(UInt64, Event)] = [(5, .bytes), (5, .head), (30, .bytes), (55, .bytes)]
        #expect(Self.verdict(body, at: 84) == Self.wait(85))
        #expect(Self.verdict(body, at: 85) == .refuse)
        // What was answered before its body had come is not answered again.
        #expect(Self.verdict(body + [(56, .answer), (56, .answered)], at: 90) == .close)
    }

    @Test("half a head behind a request has its time from when that was answered, and then is refused")
    func halfBehind() {
        let first: [(UInt64, Event)] = [(5, .bytes), (5, .head), (5, .end)]
        // With the first one's end, and while that is answered.
        for half: (UInt64, Event) in [(5, .rest), (7, .bytes)] {
            let events = first + [half, (9, .answer), (9, .answered)]
            #expect(Self.verdict(events, at: 38) == Self.wait(39))
            #expect(Self.verdict(events, at: 39) == .refuse)
            #expect(Self.verdict(events + [(12, .bytes), (12, .head), (12, .end), (13, .answered)], at: 43) == .close)
        }
        // Behind one that was answered at once.
        let answered = first + [(5, .answer), (5, .answered), (5, .rest)]
        #expect(Self.verdict(answered, at: 35) == .refuse)
    }

    @Test("an answer takes as long as it takes, whatever comes behind its request")
    func answering() {
        let asked: [(UInt64, Event)] = [(0, .bytes), (0, .head), (0, .end), (1, .bytes)]
        #expect(Self.verdict(asked, at: 100) == Self.wait(130))
        let two = asked + [(1, .head), (1, .end), (100, .answer), (100, .answered)]
        #expect(Self.verdict(two, at: 150) == Self.wait(180))
        #expect(Self.verdict(two + [(150, .answered)], at: 180) == .close)
    }
}
