// The link's state machine, without sockets or clocks: what it does about refusals, silence, pauses; and in any order.

import Coordination
import Testing

@Suite struct LinkMachineTests {
    /// A link, its clock, and the timer that it asked for.
    private final class Driver {
        var machine = LinkMachine()
        var now = Instant(nanoseconds: 1_000_000_000)
        var timer: Instant?

        @discardableResult
        func receive(_ event: LinkMachine.Event) -> [LinkMachine.Effect] {
            if event == .timer { timer = nil }
            let effects = machine.receive(event, now: now)
            for case .schedule(let instant) in effects { timer = instant }
            return effects.filter { if case .schedule = $0 { false } else { true } }
        }

        func pass(milliseconds: Int) { now = now.adding(milliseconds: milliseconds) }

        /// Lets the timer go off whenever it is due for so long; what that did, with the milliseconds.
        func run(milliseconds: Int, answersPings: Bool = false) -> [(at: Int, LinkMachine.Effect)] {
            let start = now
            let end = now.adding(milliseconds: milliseconds)
            var done: [(Int, LinkMachine.Effect)] = []
            while let timer, timer <= end {
                now = max(now, timer)
                for effect in receive(.timer) {
                    done.append((now.milliseconds(since: start), effect))
                    if answersPings, effect == .ping { receive(.heard) }
                }
            }
            now = end
            return done
        }

        static func up() -> Driver {
            let driver = Driver()
            driver.receive(.wanted)
            driver.receive(.connected)
            driver.receive(.welcomed)
            return driver
        }
    }

    @Test("a link connects when somebody wants to send, greets, and sends what waited once it is welcome")
    func opens() {
        let driver = Driver()
        #expect(driver.machine.takesRequests)
        #expect(driver.receive(.wanted) == [.connect])
        #expect(driver.receive(.wanted) == [])
        #expect(driver.receive(.connected) == [.greet])
        #expect(driver.machine.takesRequests && driver.machine.phase == .greeting)
        #expect(driver.receive(.welcomed) == [.flush])
        #expect(driver.machine.phase == .up)
    }

    @Test("who refuses the connection is asked again by the next request, 10 ms later")
    func refused() {
        let driver = Driver()
        driver.receive(.wanted)
        #expect(driver.receive(.connectFailed(.gone)) == [.fail(.gone)])
        driver.pass(milliseconds: 9)
        #expect(driver.receive(.wanted) == [] && !driver.machine.takesRequests)
        driver.pass(milliseconds: 1)
        #expect(driver.receive(.wanted) == [.connect] && driver.machine.takesRequests)
    }

    @Test("a node that answers nothing is given up after half a second, fails at once, and is tried in the background")
    func unreachable() {
        let driver = Driver()
        driver.receive(.wanted)
        let first = driver.run(milliseconds: 600)
        #expect(first.map(\.1) == [.abandon, .fail(.noAnswer)] && first[0].at == 500)
        #expect(!driver.machine.takesRequests)
        #expect(driver.receive(.wanted) == [], "no request waits for the attempts")
        let later = driver.run(milliseconds: 10_000).filter { $0.1 == .connect }
        #expect(later.count >= 9, "at least every second: \(later)")
        #expect(!driver.machine.takesRequests)
        // Healed: the next attempt within a second opens it.
        while driver.machine.phase != .connecting { _ = driver.run(milliseconds: 50) }
        #expect(driver.receive(.connected) == [.greet])
        #expect(!driver.machine.takesRequests, "a connection alone is no sign of life: a stopped process has them too")
        #expect(driver.receive(.welcomed) == [.flush])
        #expect(driver.machine.takesRequests)
    }

    @Test("a connection on which nothing comes is asked after half a second, and given up one second later")
    func silence() {
        let driver = Driver.up()
        let done = driver.run(milliseconds: 5_000)
        #expect(done.first?.1 == .ping && (500...750).contains(done.first?.at ?? 0))
        let given = done.first { $0.1 == .fail(.silent) }
        #expect((1_500...2_000).contains(given?.at ?? 0), "\(done)")
        #expect(!driver.machine.takesRequests)
    }

    @Test("a connection whose pings are answered stays, however little is said on it")
    func quiet() {
        let driver = Driver.up()
        let done = driver.run(milliseconds: 60_000, answersPings: true)
        #expect(done.allSatisfy { $0.1 == .ping })
        #expect(driver.machine.phase == .up)
    }

    @Test("one request that was not answered is enough to give a silent node up; a slow answer beside others is not")
    func unanswered() {
        var driver = Driver.up()
        let sent = driver.now
        _ = driver.run(milliseconds: 1_000)
        #expect(driver.receive(.unanswered(sent: sent)) == [.abandon, .fail(.silent)])
        driver = Driver.up()
        let other = driver.now
        _ = driver.run(milliseconds: 600)
        driver.receive(.heard)
        _ = driver.run(milliseconds: 400)
        #expect(driver.receive(.unanswered(sent: other)) == [])
        #expect(driver.machine.phase == .up)
        // With a deadline of 50 ms nothing is proved.
        let short = driver.now
        _ = driver.run(milliseconds: 50)
        #expect(driver.receive(.unanswered(sent: short)) == [] && driver.machine.phase == .up)
    }

    @Test("who was stopped itself does not take the other side for silent when it wakes")
    func ownPause() {
        let driver = Driver.up()
        driver.pass(milliseconds: 27_000)
        #expect(driver.receive(.timer) == [], "what came meanwhile is read first")
        #expect(driver.machine.phase == .up)
        let afterwards = driver.run(milliseconds: 1_200).map(\.1)
        #expect(!afterwards.isEmpty && afterwards.allSatisfy { $0 == .ping })
        driver.receive(.heard)
        #expect(driver.machine.phase == .up)
    }

    @Test("a link that another loop's link has warned gives up at once, unless it has just heard of the node")
    func suspected() {
        let fresh = Driver.up()
        #expect(fresh.receive(.suspected) == [] && fresh.machine.phase == .up)
        fresh.pass(milliseconds: 600)
        #expect(fresh.receive(.suspected) == [.abandon, .fail(.silent)])
        let idle = Driver()
        #expect(idle.receive(.suspected) == [.fail(.silent)] && !idle.machine.takesRequests)
    }

    @Test("a node that declines is tried again each second, and not by requests")
    func declined() {
        let driver = Driver()
        driver.receive(.wanted)
        driver.receive(.connected)
        #expect(driver.receive(.declined) == [.abandon, .fail(.declined)])
        #expect(driver.receive(.wanted) == [])
        #expect(driver.run(milliseconds: 1_100).map(\.1) == [.connect])
    }

    @Test("a closed link does nothing more")
    func closed() {
        let driver = Driver.up()
        #expect(driver.receive(.close) == [.abandon, .fail(.gone)])
        for event in [.wanted, .connected, .welcomed, .timer, .suspected, .disconnected, .close] as [LinkMachine.Event]
        {
            #expect(driver.receive(event) == [])
        }
    }

    @Test("in any order of events nothing that can't be becomes true, and it always comes up again", arguments: 0..<200)
    func anyOrder(_ seed: Int) {
        var generator = SeededRandom(UInt64(seed))
        let driver = Driver()
        for _ in 0..<500 {
            let back = Int.random(in: 0...2_000, using: &generator)
            let sent = Instant(nanoseconds: driver.now.nanoseconds - UInt64(back) * 400_000)
            let events: [LinkMachine.Event] = [
                .wanted, .connected, .connectFailed(.gone), .connectFailed(.noAnswer), .welcomed, .declined, .heard,
                .unanswered(sent: sent), .suspected, .disconnected, .timer, .timer,
            ]
            let effects = driver.receive(events.randomElement(using: &generator)!)
            #expect(driver.machine.brokenInvariant == nil)
            if effects.contains(.flush) { #expect(driver.machine.phase == .up) }
            if effects.contains(where: { if case .fail = $0 { true } else { false } }) {
                #expect(driver.machine.phase == .down)
            }
            driver.pass(milliseconds: [0, 1, 5, 100, 260, 1_000, 30_000].randomElement(using: &generator)!)
        }
        // The world is well again: within two seconds the link is up.
        let healed = driver.now
        while driver.machine.phase != .up, driver.now.milliseconds(since: healed) < 2_500 {
            driver.receive(.wanted)
            switch driver.machine.phase {
            case .connecting: driver.receive(.connected)
            case .greeting: driver.receive(.welcomed)
            default: _ = driver.run(milliseconds: 10)
            }
        }
        #expect(driver.machine.phase == .up)
        #expect(driver.now.milliseconds(since: healed) <= 2_000)
    }
}
