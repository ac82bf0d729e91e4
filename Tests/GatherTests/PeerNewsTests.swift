// What a peer is told, message by message; and how long a node that has just started can't say that something is not there.

import Coordination
import Testing

@Suite struct PeerNewsTests {
    /// A message from one to the other, as nodes send it; answers what was told.
    private static func tell(
        _ from: Registry, _ fromNews: PeerNews, _ to: inout Registry, _ toNews: inout PeerNews, arrives: Bool = true
    ) -> RegistryNews {
        let heading = fromNews.heading(of: from, digest: from.digest)
        let told = from.news(since: heading.since, to: "to")
        guard arrives else { return told }
        to.merge(told, from: "from")
        toNews.received(heading, in: to, digest: to.digest)
        return told
    }

    @Test("what arrived is not told again, what was lost is, and a run that knows nothing is told all of it")
    func rounds() {
        var (one, two) = (Registry(run: 1), Registry(run: 2))
        var (news1, news2) = (PeerNews(), PeerNews())
        for number in 0..<5 { one.defineJob("j\(number)", source: [UInt8(number)]) }
        func round() -> Int {
            let told = Self.tell(one, news1, &two, &news2)
            _ = Self.tell(two, news2, &one, &news1)
            return told.jobs.count
        }
        #expect(round() == 5 && two == one)
        #expect(round() == 0)
        one.defineJob("j1", source: [9])
        #expect(Self.tell(one, news1, &two, &news2, arrives: false).jobs.count == 1)
        one.defineJob("j2", source: [9])
        #expect(round() == 2 && two == one)
        let id = one.createFrame("f", schema: [1, 2, 3])
        #expect(round() == 0 && two == one)
        one.acknowledge(5, frame: id!, node: "n1", incarnation: 1)
        let counts = Self.tell(one, news1, &two, &news2)
        #expect(counts.frames.isEmpty && counts.acknowledged.count == 1 && counts.seen.isEmpty)
        #expect(two.frame(id!)?.acknowledged.expectedRows == 5)
        // Another run: what it is told first is not all, and it says so.
        two = Registry(run: 3)
        news2 = PeerNews()
        one.defineJob("j3", source: [9])
        #expect(Self.tell(one, news1, &two, &news2).jobs.count == 1 && !news2.hasHeardAll)
        _ = Self.tell(two, news2, &one, &news1)
        #expect(round() == 5 && two == one && news2.hasHeardAll)
    }

    @Test("two that have nothing to say, and do not know the same, tell all once more")
    func digests() {
        var (one, two) = (Registry(run: 1), Registry(run: 2))
        var (news1, news2) = (PeerNews(), PeerNews())
        func round() {
            _ = Self.tell(one, news1, &two, &news2)
            _ = Self.tell(two, news2, &one, &news1)
        }
        one.defineJob("j", source: [1])
        for _ in 0..<2 { round() }
        // A node that has forgotten what it said that it had heard.
        two = Registry(run: 2)
        for _ in 0..<4 { round() }
        #expect(two == one && two.jobs.count == 1)
    }

    @Test("a node waits for those that can be reached, for a second")
    func settling() {
        let start = Instant(nanoseconds: 5_000_000)
        var settling = Settling(peers: ["n2", "n3"], now: start)
        #expect(settling.awaited(now: start) == ["n2", "n3"])
        settling.settled(with: "n3")
        #expect(settling.awaited(now: start.adding(milliseconds: 999)) == ["n2"])
        #expect(settling.awaited(now: start.adding(milliseconds: 1_000)) == [])
        settling.settled(with: "n2")
        #expect(settling.awaited(now: start) == [])
        #expect(Settling(peers: [], now: start).awaited(now: start) == [])
    }
}
