// One view of a frame over its shards: each load whole or not at all, and which loads it has.

import Dispatch
import Engine
import Synchronization
import Testing

@Suite struct FrameViewTests {
    private static func catalog(chunkRows: Int = 100, memory: FrameMemory = FrameMemory()) throws -> (
        FrameCatalog, Frame
    ) {
        let catalog = FrameCatalog(shardCount: 3, resources: FrameResources(memory: memory, chunkRows: chunkRows))
        return (catalog, try catalog.create("t", schema: try FramesStoreTests.batch(0).schema))
    }

    @Test("a view has each load on all shards or on none, while loads are committed beside it")
    func whole() throws {
        let (catalog, frame) = try Self.catalog()
        let isDone = Atomic<Bool>(false)
        let group = DispatchGroup()
        DispatchQueue.global().async(group: group) {
            for number in 1...150 as ClosedRange<UInt64> {
                // Chunks for all shards, and a rest that is copied to a tail, which is full at times.
                guard let load = try? catalog.beginLoad(number, into: frame),
                    let batch = try? FramesStoreTests.batch(805)
                else { break }
                try? load.stage(batch)
                _ = try? catalog.commitLoad(number)
            }
            isDone.store(true, ordering: .releasing)
        }
        var (views, last) = (0, 0)
        while !isDone.load(ordering: .acquiring) {
            let view = frame.view()
            #expect(view.rowCount % 805 == 0 && view.rowCount >= last)
            #expect(view.loads.committed.count == view.rowCount / 805 && view.loads.pending.count <= 1)
            (views, last) = (views + 1, view.rowCount)
        }
        group.wait()
        #expect(views > 10 && frame.view().rowCount == 150 * 805)
    }

    @Test("a load that is ready is pending, takes no more rows, and can't fail for memory any more")
    func ready() throws {
        let memory = FrameMemory(limitBytes: 400_000)
        let (catalog, frame) = try Self.catalog(chunkRows: 1_600, memory: memory)
        let load = try catalog.beginLoad(9, into: frame)
        try load.stage(try FramesStoreTests.batch(1_650))
        #expect(frame.view().loads == FrameLoads.Seen())
        #expect(try load.prepare() == 1_650 && (try load.prepare()) == 1_650)
        #expect(frame.view().loads.pending == [9] && frame.view().rowCount == 0)
        #expect(throws: Failure.self) { try load.stage(try FramesStoreTests.batch(1)) }
        // Others take all that is left.
        let hog = MemoryReservation(memory)
        while (try? hog.grow(by: 100)) != nil {}
        #expect(try load.commit() == 1_650 && (try load.commit()) == 1_650)
        let view = frame.view()
        #expect(view.rowCount == 1_650 && view.loads.pending.isEmpty && view.loads.committed.keys.map { $0 } == [9])
        load.abort()
        #expect(frame.view().rowCount == 1_650)
    }

    @Test("a load that was ready and is aborted leaves nothing but that it was there")
    func aborted() throws {
        let memory = FrameMemory()
        let (catalog, frame) = try Self.catalog(memory: memory)
        do {
            let load = try catalog.beginLoad(9, into: frame)
            try load.stage(try FramesStoreTests.batch(205))
            try load.prepare()
            catalog.abortLoad(9)
            #expect(throws: Failure.self) { try load.commit() }
        }
        #expect(frame.view().loads == FrameLoads.Seen(pending: [9]))
        #expect(frame.view().rowCount == 0 && memory.usedBytes == 0)
        // Of one that was never ready nobody can have shown anything.
        do {
            let load = try catalog.beginLoad(10, into: frame)
            try load.stage(try FramesStoreTests.batch(5))
            catalog.abortLoad(10)
        }
        #expect(frame.view().loads == FrameLoads.Seen(pending: [9]))
    }

    @Test("loads are named for longer than a job takes, and the latest of very many")
    func named() {
        var loads = FrameLoads()
        let second: UInt64 = 1_000_000_000
        for load in 1...5 as ClosedRange<UInt64> { loads.committed(load, now: load * 100 * second) }
        #expect(
            loads.seen(now: 700 * second).committed == [1: 600_000, 2: 500_000, 3: 400_000, 4: 300_000, 5: 200_000])
        #expect(loads.seen(now: 1_100 * second).committed == [5: 600_000])
        for load in 6..<UInt64(6 + FrameLoads.namedMax) { loads.committed(load, now: 1_200 * second + load) }
        #expect(loads.seen(now: 1_201 * second).namedMilliseconds == FrameLoads.namedMillisecondsMax)
        loads.committed(5_000, now: 1_201 * second)
        let seen = loads.seen(now: 1_203 * second)
        #expect(seen.committed.count == FrameLoads.namedMax && seen.committed[6] == nil && seen.committed[7] != nil)
        #expect(seen.namedMilliseconds == 2_999, "load 6 is not named any more")
    }

    @Test("loads that were ready and are discarded are named for as long, and the latest of very many")
    func discarded() {
        var loads = FrameLoads()
        let second: UInt64 = 1_000_000_000
        for load in 1...3 as ClosedRange<UInt64> {
            loads.ready(load)
            if load > 1 { loads.discarded(load, now: load * 100 * second) }
        }
        loads.discarded(4, now: 300 * second)
        #expect(loads.seen(now: 800 * second).pending == [1, 2, 3])
        #expect(loads.seen(now: 900 * second).pending == [1, 3] && loads.seen(now: 991 * second).pending == [1])
        for load in 10..<UInt64(10 + FrameLoads.namedMax + 1) {
            loads.ready(load)
            loads.discarded(load, now: 1_200 * second)
        }
        let seen = loads.seen(now: 1_203 * second)
        #expect(seen.pending.count == FrameLoads.namedMax + 1 && !seen.pending.contains(10) && seen.pending.contains(1))
        #expect(seen.namedMilliseconds == 3_000, "load 10 is not named any more")
    }

    @Test("all that a map asks of a frame is of the moment when it first asked")
    func oneMoment() throws {
        let (_, frame) = try Self.catalog()
        let coverage = ScanCoverage()
        try frame.append(try FramesStoreTests.batch(10))
        let rows = frame.parts.indices.reduce(0) { $0 + coverage.look(at: frame, shard: $1).rowCount }
        try frame.append(try FramesStoreTests.batch(10))
        let again = frame.parts.indices.reduce(0) { $0 + coverage.look(at: frame, shard: $1).rowCount }
        #expect(rows == 10 && again == 10 && coverage.total.rows == 10 && coverage.total.rowsEver == 10)
        #expect(ScanCoverage().total.frames.isEmpty && coverage.total.frames.keys.map { $0 } == ["t"])
    }
}
