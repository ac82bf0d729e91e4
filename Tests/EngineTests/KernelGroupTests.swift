// The loops that number groups, add up by group and count: each instruction set against plain loops.

import CKernels
import Testing

@Suite("Loops over groups", .serialized)
struct KernelGroupTests {
    private func checkDigits<
        I: FixedWidthInteger & UnsignedInteger & BitwiseCopyable,
        C: FixedWidthInteger & UnsignedInteger & BitwiseCopyable
    >(
        _ digits: (UnsafeMutablePointer<I>, UnsafePointer<C>, Int, UInt32, UInt32, Bool) -> Void
    ) {
        var random = SeededRandom(11)
        for count in KernelCases.lengths {
            let codes = KernelCases.codes(count, below: C(60), &random)
            let source = GuardedBuffer(codes)
            for (step, offset) in [(1, 0), (1, 5), (3, 7)] {
                KernelCases.forEachLevel { level in
                    let ids = GuardedBuffer(repeating: I(2), count: count)
                    digits(ids.start, source.start, count, UInt32(step), UInt32(offset), true)
                    let more = codes.map { I(Int($0) * step + offset) }
                    #expect(ids.array == more.map { $0 + 2 }, "\(I.self) of \(C.self), \(count) rows, level \(level)")
                    digits(ids.start, source.start, count, UInt32(step), UInt32(offset), false)
                    #expect(ids.array == more)
                }
            }
        }
    }

    @Test("digits of keys are put together")
    func digits() {
        checkDigits(ck_digits8_8)
        checkDigits(ck_digits16_8)
        checkDigits(ck_digits16_16)
        checkDigits(ck_digits32_8)
        checkDigits(ck_digits32_16)
        checkDigits(ck_digits32_32)
    }

    private typealias Adding<I, C> = (
        UnsafeMutablePointer<UInt64>, Int, UnsafePointer<I>, UnsafePointer<C>, Int, UInt64, UInt64
    ) -> Void
    private typealias AddingRuns<I, C> = (
        UnsafeMutablePointer<UInt64>, UnsafePointer<I>, UnsafePointer<C>, Int, UInt64, UInt64
    ) -> Void

    private func checkSums<
        I: FixedWidthInteger & UnsignedInteger & BitwiseCopyable,
        C: FixedWidthInteger & UnsignedInteger & BitwiseCopyable
    >(
        _ add: Adding<I, C>, _ addRuns: AddingRuns<I, C>
    ) {
        var random = SeededRandom(12)
        let groups = 20
        for count in KernelCases.lengths {
            for runRows in [1, 40, 200, 9000] {
                let ids = (0..<count).map { I(runRows == 1 ? random.below(groups) : $0 / runRows % groups) }
                let codes = KernelCases.codes(count, below: C.max, &random)
                let (idSource, codeSource) = (GuardedBuffer(ids), GuardedBuffer(codes))
                for (scale, offset) in [(UInt64(1), UInt64(1) << 40), (15, UInt64.max - 3)] {
                    var expected = [UInt64](repeating: 0, count: groups)
                    for (id, code) in zip(ids, codes) { expected[Int(id)] &+= UInt64(code) &* scale &+ offset }
                    KernelCases.forEachLevel { level in
                        let one = GuardedBuffer(repeating: UInt64(0), count: groups)
                        add(one.start, 0, idSource.start, codeSource.start, count, scale, offset)
                        #expect(one.array == expected, "\(I.self), \(C.self), \(count) rows")
                        let four = GuardedBuffer(repeating: UInt64(0), count: 4 * groups)
                        add(four.start, groups, idSource.start, codeSource.start, count, scale, offset)
                        let sums = (0..<groups).map { group in
                            (0..<4).reduce(UInt64(0)) { $0 &+ four.array[$1 * groups + group] }
                        }
                        #expect(sums == expected)
                        let runs = GuardedBuffer(repeating: UInt64(0), count: groups)
                        addRuns(runs.start, idSource.start, codeSource.start, count, scale, offset)
                        #expect(runs.array == expected, "runs of \(runRows), \(count) rows, level \(level)")
                    }
                }
            }
        }
    }

    @Test("sums by group are those of adding row by row, whatever copies or runs there are")
    func sums() {
        checkSums(ck_add_groups8_8, ck_add_runs8_8)
        checkSums(ck_add_groups8_16, ck_add_runs8_16)
        checkSums(ck_add_groups8_32, ck_add_runs8_32)
        checkSums(ck_add_groups16_8, ck_add_runs16_8)
        checkSums(ck_add_groups16_16, ck_add_runs16_16)
        checkSums(ck_add_groups16_32, ck_add_runs16_32)
        checkSums(ck_add_groups32_8, ck_add_runs32_8)
        checkSums(ck_add_groups32_16, ck_add_runs32_16)
        checkSums(ck_add_groups32_32, ck_add_runs32_32)
    }

    private func checkPairs<C: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
        _ width: Int32, below limit: C,
        _ add: (UnsafeMutablePointer<UInt64>, UInt32, Int32, UnsafePointer<UInt8>, UnsafePointer<C>, Int) -> Void
    ) {
        var random = SeededRandom(13)
        for groups in [2, 7, 8, 9, 17, 64, 72] {
            for count in KernelCases.lengths {
                let even = count & ~1
                let ids = KernelCases.codes(even, below: UInt8(groups), &random)
                let codes = KernelCases.codes(even, below: limit, &random)
                let (idSource, codeSource) = (GuardedBuffer(ids), GuardedBuffer(codes))
                KernelCases.forEachLevel { level in
                    let table = GuardedBuffer(repeating: UInt64(0), count: groups * groups)
                    add(table.start, UInt32(groups), width, idSource.start, codeSource.start, even)
                    let sums = GuardedBuffer(repeating: UInt64(3), count: groups)
                    let counts = GuardedBuffer(repeating: UInt64(4), count: groups)
                    ck_flush_pairs(table.start, UInt32(groups), width, sums.start, counts.start)
                    var (expected, rows) = (
                        [UInt64](repeating: 3, count: groups), [UInt64](repeating: 4, count: groups)
                    )
                    for (id, code) in zip(ids, codes) {
                        expected[Int(id)] += UInt64(code)
                        rows[Int(id)] += 1
                    }
                    #expect(sums.array == expected, "\(groups) groups, \(count) rows, level \(level)")
                    #expect(counts.array == rows)
                    #expect(table.array.allSatisfy { $0 == 0 })
                }
            }
        }
    }

    @Test("pairs of rows add up to the sums and counts of rows")
    func pairs() {
        checkPairs(24, below: UInt8.max, ck_add_pairs8)
        checkPairs(25, below: UInt16(2000), ck_add_pairs16)
    }

    @Test("a field of a pair takes as many as it is meant to, and no neighbour notices")
    func fullPairs() {
        let ids = [UInt8](repeating: 1, count: 8192)
        let codes = [UInt16](repeating: 2047, count: 8192)
        KernelCases.forEachLevel { _ in
            let table = GuardedBuffer(repeating: UInt64(0), count: 4)
            var pairs = 0
            while pairs + 4096 < 1 << 14 {
                ck_add_pairs16(table.start, 2, 25, ids, codes, 8192)
                pairs += 4096
            }
            let rest = (1 << 14 - 1 - pairs) * 2
            ck_add_pairs16(table.start, 2, 25, ids, codes, rest)
            var (sums, counts) = ([UInt64](repeating: 0, count: 2), [UInt64](repeating: 0, count: 2))
            ck_flush_pairs(table.start, 2, 25, &sums, &counts)
            #expect(counts == [0, (1 << 14 - 1) * 2])
            #expect(sums == [0, (1 << 14 - 1) * 2 * 2047])
        }
    }

    private func checkCounts<C: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
        _ count: (UnsafeMutablePointer<UInt32>, Int, UnsafePointer<C>, Int, Int) -> Void,
        _ mark: (UnsafeMutablePointer<UInt8>, UnsafePointer<C>, Int, Int) -> Void
    ) {
        var random = SeededRandom(14)
        for rows in KernelCases.lengths {
            let codes = KernelCases.codes(rows, below: C(90), &random)
            let source = GuardedBuffer(codes)
            for step in [1, 3] {
                let span = 90 * step
                var expected = [UInt32](repeating: 0, count: span)
                for code in codes { expected[Int(code) * step] += 1 }
                KernelCases.forEachLevel { level in
                    let one = GuardedBuffer(repeating: UInt32(0), count: span)
                    count(one.start, 0, source.start, rows, step)
                    #expect(one.array == expected)
                    let four = GuardedBuffer(repeating: UInt32(0), count: 4 * span)
                    count(four.start, span, source.start, rows, step)
                    #expect(
                        (0..<span).map { place in (0..<4).reduce(0) { $0 + four.array[$1 * span + place] } } == expected
                    )
                    let seen = GuardedBuffer(repeating: UInt8(0), count: span + 3)
                    for _ in 0..<2 {
                        mark(seen.start, source.start, rows, step)
                        #expect(Array(seen.array.prefix(span)) == expected.map { $0 > 0 ? 1 : 0 }, "level \(level)")
                    }
                }
            }
        }
    }

    @Test("codes are counted and marked, in places as far from each other as asked")
    func counts() {
        checkCounts(ck_count8, ck_mark8)
        checkCounts(ck_count16, ck_mark16)
        checkCounts(ck_count32, ck_mark32)
    }

    @Test("a number is added for listed rows")
    func listed() {
        let ids: [UInt8] = [0, 1, 2, 1, 0]
        let rows: [UInt16] = [1, 3, 4]
        var sums: [UInt64] = [10, 20, 30]
        ck_add_listed8(&sums, ids, rows, rows.count, 5)
        ck_add_listed16(&sums, ids.map { UInt16($0) }, rows, rows.count, 0 &- 1)
        ck_add_listed32(&sums, ids.map { UInt32($0) }, rows, 1, 100)
        #expect(sums == [14, 128, 30])
    }
}
