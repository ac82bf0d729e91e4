// Sealing a wide chunk takes long: others have their turns meanwhile.

import Engine
import Synchronization
import Testing

@Suite struct SealingTurnsTests {
    @Test("whoever seals a wide chunk gives others their turns: in an append, and in a load", arguments: [false, true])
    func turnsOfSealing(loads: Bool) async throws {
        let schema = try FrameSchema(columns: (0..<400).map { FrameColumn("c\($0)", .int) })
        let catalog = FrameCatalog(shardCount: 1, resources: FrameResources(chunkRows: 8_192))
        let frame = try catalog.create("t", schema: schema)
        var batch = ColumnBatch(schema: schema)
        for row in 0..<8_192 { try batch.append(row: (0..<400).map { .int(Int64(row * $0 % 7919)) }) }
        let rows = batch
        let load = loads ? try catalog.beginLoad(1, into: frame) : nil
        let pool = ComputePool(width: 1, givesWay: true)
        let observer = TurnObserver(pool)
        try await withCheckedThrowingContinuation { (result: CheckedContinuation<Void, any Error>) in
            pool.submit {
                observer.look()
                do throws(Failure) {
                    if let load { try load.stage(rows) } else { try frame.append(rows) }
                    result.resume()
                } catch {
                    result.resume(throwing: error)
                }
                observer.end()
            }
        }
        #expect(observer.sawPaused)
        if loads { #expect(try catalog.commitLoad(1) == 8_192) }
        #expect(frame.statistics.chunks == 1 && frame.statistics.rows == 8_192)
    }
}

/// Wants a turn of a pool again and again, and sees whether a closure was paused for it.
private final class TurnObserver: Sendable {
    private let pool: ComputePool
    private let hasSeen = Atomic<Bool>(false)
    private let isOver = Atomic<Bool>(false)

    init(_ pool: ComputePool) { self.pool = pool }

    var sawPaused: Bool { hasSeen.load(ordering: .acquiring) }

    func end() { isOver.store(true, ordering: .releasing) }

    func look() {
        pool.submit {
            if self.pool.paused > 0 { self.hasSeen.store(true, ordering: .releasing) }
            if !self.isOver.load(ordering: .acquiring) { self.look() }
        }
    }
}
