// Alarms for deadlines: in their order, not once they are taken back, and with few timers.

import Engine
import Gather
import Synchronization
import Testing

@Suite struct DeadlineAlarmsTests {
    @Test("alarms go off in the order of their deadlines, those that were taken back never")
    func order() async {
        let alarms = DeadlineAlarms(SystemEnvironment())
        let (rung, ring) = AsyncStream<Int>.makeStream()
        let late = Deadline.after(milliseconds: 60)
        for number in [5, 3, 1, 4, 2] {
            _ = alarms.set(.after(milliseconds: number * 10)) { ring.yield(number) }
        }
        alarms.takeBack(alarms.set(.after(milliseconds: 25)) { ring.yield(-1) })
        _ = alarms.set(late) { ring.finish() }
        var order: [Int] = []
        for await number in rung { order.append(number) }
        #expect(order == [1, 2, 3, 4, 5])
        #expect(late.hasPassed)
        #expect(alarms.count == 0)
    }

    @Test("a deadline that has passed already rings at once")
    func passed() async {
        let alarms = DeadlineAlarms(SystemEnvironment())
        await withCheckedContinuation { continuation in
            _ = alarms.set(Deadline(uptimeNanoseconds: 1)) { continuation.resume() }
        }
        #expect(alarms.count == 0)
    }

    @Test("questions that are answered in time share a timer, and leave nothing")
    func sharing() {
        final class Answer: Sendable {}
        let alarms = DeadlineAlarms(SystemEnvironment())
        weak var kept: Answer?
        for number in 0..<1_000 {
            let answer = Answer()
            kept = answer
            let alarm = alarms.set(.after(milliseconds: 600_000 + number)) { withExtendedLifetime(answer) {} }
            alarms.takeBack(alarm)
        }
        #expect(alarms.count == 0)
        #expect(kept == nil)
        #expect(alarms.plans == 1)
    }
}
