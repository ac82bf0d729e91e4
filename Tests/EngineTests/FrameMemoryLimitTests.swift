// The limit of the frames' memory, changed while it is in use.

import Engine
import Testing

@Suite struct FrameMemoryLimitTests {
    @Test("below what is used nothing goes and nothing more comes; once there is room again, it does")
    func limit() throws {
        let memory = FrameMemory(limitBytes: 4 << 20)
        let held = MemoryReservation(memory)
        try held.grow(by: 3 << 20)
        memory.setLimit(bytes: 1 << 20)
        #expect(memory.usedBytes == 3 << 20 && memory.limitBytes == 1 << 20 && memory.refusals == 0)
        let more = MemoryReservation(memory)
        #expect(throws: Failure.self) { try more.grow(by: 1) }
        #expect(memory.usedBytes == 3 << 20 && memory.refusals == 1)
        memory.setLimit(bytes: 8 << 20)
        try more.grow(by: 5 << 20)
        #expect(memory.usedBytes == 8 << 20)
    }
}
