// How late a request is by its sender's clock: never less than the truth, whatever the clocks and the pauses.

import Coordination
import Testing

@Suite struct LatenessEstimateTests {
    private static func at(_ milliseconds: Double) -> Instant { Instant(nanoseconds: UInt64(milliseconds * 1e6)) }

    @Test("a request is in time while its sender's clock says so, and late from then on")
    func exact() throws {
        var estimate = LatenessEstimate()
        #expect(estimate.due(stamp: 5, leftMilliseconds: 1_000) == nil, "nothing is known yet")
        // The sender's clock is 40 s ahead; the answer took 2 ms.
        let isTaken = estimate.answered(stamp: 50_001_000_000, asked: Self.at(10_000), now: Self.at(10_002))
        #expect(isTaken)
        let due = try #require(estimate.due(stamp: 50_010_000_000, leftMilliseconds: 1_000))
        // Sent at 10,009 or later by this clock, so due at 11,009 at the latest; less what clocks may drift in a second.
        #expect(due <= Self.at(11_010))
        #expect(due >= Self.at(10_900))
        #expect(estimate.leftMilliseconds(stamp: 50_010_000_000, leftMilliseconds: 1_000, now: Self.at(10_010)) > 990)
        #expect(estimate.leftMilliseconds(stamp: 50_010_000_000, leftMilliseconds: 1_000, now: Self.at(37_000)) == 0)
    }

    @Test("an answer that lay about while the receiver was stopped makes nothing younger")
    func stoppedReceiver() throws {
        var estimate = LatenessEstimate()
        // Asked at 1,000; answered at once (stamp 1,001 on the same clock); read 27 s later.
        estimate.answered(stamp: 1_001_000_000, asked: Self.at(1_000), now: Self.at(28_000))
        // A request of the time just before the stop, of which a second was left.
        let due = try #require(estimate.due(stamp: 1_002_000_000, leftMilliseconds: 1_000))
        #expect(due < Self.at(2_003))
    }

    @Test("a stamp that is no clock's is refused, and the extremes overflow nothing")
    func extremes() {
        var estimate = LatenessEstimate()
        let answers = [(UInt64.max, 1.0), (1 << 61, 1), (1, 3)].map { stamp, asked in
            estimate.answered(stamp: stamp, asked: Self.at(asked), now: Self.at(2))
        }
        #expect(answers == [false, false, false], "no clock says so, nor echoes what was not asked yet")
        #expect(!estimate.isKnown)
        let isTaken = estimate.answered(stamp: (1 << 61) - 1, asked: Instant(nanoseconds: 0), now: Self.at(2))
        #expect(isTaken)
        #expect(estimate.due(stamp: .max, leftMilliseconds: .max) == nil)
        #expect(estimate.due(stamp: 0, leftMilliseconds: .max) != nil)
        #expect(estimate.due(stamp: (1 << 61) - 1, leftMilliseconds: .max) != nil)
        var other = LatenessEstimate()
        other.answered(stamp: 0, asked: Instant(nanoseconds: (1 << 61) - 2), now: Instant(nanoseconds: (1 << 61) - 1))
        #expect(other.due(stamp: (1 << 61) - 1, leftMilliseconds: .max) != nil)
    }

    /// Two clocks with rates of their own, pings, requests, pauses of either side and slow ways, with the truth known.
    @Test(
        "with rates that differ by 5 % and any pauses nothing late is taken, and what is not late mostly is",
        arguments: 0..<100)
    func simulated(_ seed: Int) {
        var generator = SeededRandom(UInt64(seed))
        let senderRate = Double.random(in: 0.95...1.05, using: &generator)
        let receiverRate = Double.random(in: 0.95...1.05, using: &generator)
        let senderOffset = Double.random(in: 0...1e6, using: &generator)
        let receiverOffset = Double.random(in: 0...1e6, using: &generator)
        func sender(_ t: Double) -> Double { senderOffset + t * senderRate }
        func receiver(_ t: Double) -> Double { receiverOffset + t * receiverRate }
        var estimate = LatenessEstimate()
        var (taken, punctual) = (0, 0)
        var t = 0.0
        estimate.answered(
            stamp: UInt64(sender(0.2) * 1e6), asked: Self.at(receiver(0)), now: Self.at(receiver(0.4)))
        for step in 1...2_000 {
            t += 50
            // One ping in five steps; its answer may be slow, on any part of the way.
            if step % 5 == 0 {
                let slow = Int.random(in: 0..<10, using: &generator) == 0
                let there = slow ? Double.random(in: 0...5_000, using: &generator) : 0.2
                let back = slow ? Double.random(in: 0...5_000, using: &generator) : 0.2
                estimate.answered(
                    stamp: UInt64(sender(t + there) * 1e6), asked: Self.at(receiver(t)),
                    now: Self.at(receiver(t + there + back)))
            }
            let left = UInt32.random(in: 1...2_000, using: &generator)
            let isFast = Int.random(in: 0..<2, using: &generator) == 0
            let way = isFast ? 0.3 : Double.random(in: 0...30_000, using: &generator)
            let sent = sender(t)
            let isLate = sender(t + way) - sent > Double(left)
            let due = estimate.due(stamp: UInt64(sent * 1e6), leftMilliseconds: left)
            let isTaken = due.map { Self.at(receiver(t + way)) < $0 } ?? false
            // A millisecond for the rounding of this test's own clocks.
            if sender(t + way) - sent > Double(left) + 1 {
                #expect(!isTaken, "seed \(seed) step \(step): \(way) of \(left)")
            }
            if !isLate, isFast, left > 200 {
                punctual += 1
                if isTaken { taken += 1 }
            }
        }
        #expect(taken * 10 >= punctual * 9, "\(taken) of \(punctual) requests that came at once")
    }
}
