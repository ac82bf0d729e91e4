// The loops that unpack, filter and select: each instruction set against plain loops, at lengths around its vectors.

import CKernels
import Testing

@Suite("Loops over codes and masks", .serialized)
struct KernelMaskTests {
    /// Packs as `BitPacking` describes it, a bit at a time.
    private func pack<C: FixedWidthInteger & UnsignedInteger>(_ codes: [C], lanes: Int, bits: Int) -> [C] {
        var words = [C](repeating: 0, count: lanes * bits)
        for (row, code) in codes.enumerated() {
            let (plane, lane) = row.quotientAndRemainder(dividingBy: lanes)
            for bit in 0..<bits where code >> C(bit) & 1 != 0 {
                let (word, shift) = (plane * bits + bit).quotientAndRemainder(dividingBy: C.bitWidth)
                words[word * lanes + lane] |= 1 << C(shift)
            }
        }
        return words
    }

    private func checkUnpack<C: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
        _ widths: ClosedRange<Int>, _ unpack: (UnsafePointer<C>, Int, Int32, UnsafeMutablePointer<C>) -> Void
    ) {
        var random = SeededRandom(1)
        for bits in widths {
            for lanes in [1, 2, 31, 32, 33, 64, 100, 8192 / C.bitWidth] {
                let codes = (0..<lanes * C.bitWidth).map { _ in
                    C.random(in: 0...(C.max >> C(C.bitWidth - bits)), using: &random)
                }
                let words = GuardedBuffer(pack(codes, lanes: lanes, bits: bits))
                KernelCases.forEachLevel { level in
                    let out = GuardedBuffer(repeating: C.max, count: codes.count)
                    unpack(words.start, lanes, Int32(bits), out.start)
                    #expect(out.array == codes, "\(bits) bits, \(lanes) lanes, level \(level)")
                }
            }
        }
    }

    @Test("codes of any width are unpacked as they were packed")
    func unpacking() {
        checkUnpack(1...7, ck_unpack8)
        checkUnpack(9...15, ck_unpack16)
        checkUnpack(17...31, ck_unpack32)
    }

    private func checkFilters<C: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
        _ within: (UnsafePointer<C>, Int, C, C, Bool, UnsafeMutablePointer<UInt64>) -> Void
    ) {
        var random = SeededRandom(2)
        for count in KernelCases.lengths {
            let codes = (0..<count).map { _ in random.chance(20) ? C.max : C.random(in: 0..<100, using: &random) }
            let source = GuardedBuffer(codes)
            let intervals: [(C, C)] = [(0, 0), (10, 30), (C.max, 0), (50, C.max - 50), (0, C.max)]
            for (start, span) in intervals {
                for inverted in [false, true] {
                    let expected = KernelCases.bits(count) { row in
                        let isInside: Bool = codes[row] &- start <= span
                        return isInside != inverted
                    }
                    KernelCases.forEachLevel { level in
                        let bits = GuardedBuffer(repeating: UInt64.max, count: expected.count)
                        within(source.start, count, start, span, inverted, bits.start)
                        #expect(bits.array == expected, "\(count) rows of \(C.self), level \(level)")
                    }
                }
            }
        }
    }

    @Test("intervals pass the rows that comparing one by one passes")
    func intervals() {
        checkFilters(ck_within8)
        checkFilters(ck_within16)
        checkFilters(ck_within32)
        checkFilters(ck_within64)
    }

    private func checkSets<C: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
        _ equals: (UnsafePointer<C>, Int, UnsafePointer<C>, Int, UnsafeMutablePointer<UInt64>) -> Void,
        _ judge: (UnsafePointer<C>, Int, UnsafePointer<UInt8>, UnsafeMutablePointer<UInt64>) -> Void
    ) {
        var random = SeededRandom(3)
        for count in KernelCases.lengths {
            let codes = KernelCases.codes(count, below: C(40), &random)
            let source = GuardedBuffer(codes)
            let verdicts = (0..<40).map { _ -> UInt8 in random.chance(30) ? 1 : 0 }
            let sets: [[C]] = [[], [7], [0, 39, 11]]
            for keys in sets {
                KernelCases.forEachLevel { level in
                    let bits = GuardedBuffer(repeating: UInt64.max, count: (count + 63) / 64)
                    equals(source.start, count, keys, keys.count, bits.start)
                    #expect(bits.array == KernelCases.bits(count) { keys.contains(codes[$0]) }, "level \(level)")
                    judge(source.start, count, verdicts, bits.start)
                    #expect(bits.array == KernelCases.bits(count) { verdicts[Int(codes[$0])] != 0 })
                }
            }
        }
    }

    @Test("sets of codes and verdicts pass the rows that looking up one by one passes")
    func sets() {
        checkSets(ck_equals8, ck_judge8)
        checkSets(ck_equals16, ck_judge16)
        checkSets(ck_equals32, ck_judge32)
    }

    @Test("masks are counted, joined and listed")
    func masks() {
        var random = SeededRandom(4)
        for count in KernelCases.lengths {
            for percent in [0, 3, 50, 100] {
                let chosen = (0..<count).map { _ in random.chance(percent) }
                let others = (0..<count).map { _ in random.chance(40) }
                let other = GuardedBuffer(KernelCases.bits(count) { others[$0] })
                KernelCases.forEachLevel { level in
                    let bits = GuardedBuffer(KernelCases.bits(count) { chosen[$0] })
                    let expected = (0..<count).filter { chosen[$0] }.map { UInt16($0) }
                    #expect(ck_count_bits(bits.start, count) == expected.count)
                    let out = GuardedBuffer(repeating: UInt16(0), count: count + 64)
                    #expect(ck_positions(bits.start, count, out.start) == expected.count)
                    #expect(Array(out.array.prefix(expected.count)) == expected, "\(count) rows, level \(level)")
                    ck_and_bits(bits.start, other.start, count)
                    #expect(bits.array == KernelCases.bits(count) { chosen[$0] && others[$0] })
                    ck_or_bits(bits.start, other.start, count)
                    #expect(bits.array == KernelCases.bits(count) { others[$0] })
                }
            }
        }
    }

    private func checkSelect<C: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
        _ select: (UnsafePointer<C>, Int, UnsafePointer<UInt64>, UnsafeMutablePointer<C>) -> Void
    ) {
        var random = SeededRandom(5)
        for count in KernelCases.lengths {
            let codes = KernelCases.codes(count, below: C.max, &random)
            let source = GuardedBuffer(codes)
            for percent in [0, 4, 60, 100] {
                let chosen = (0..<count).map { _ in random.chance(percent) }
                let bits = GuardedBuffer(KernelCases.bits(count) { chosen[$0] })
                let expected = (0..<count).filter { chosen[$0] }.map { codes[$0] }
                KernelCases.forEachLevel { level in
                    let out = GuardedBuffer(repeating: C(0), count: count + 64)
                    select(source.start, count, bits.start, out.start)
                    #expect(Array(out.array.prefix(expected.count)) == expected, "\(count) rows, level \(level)")
                }
            }
        }
    }

    @Test("selected elements follow each other in order")
    func selecting() {
        checkSelect(ck_select8)
        checkSelect(ck_select16)
        checkSelect(ck_select32)
        checkSelect(ck_select64)
    }

    @Test("listed rows are found among the selected ones, and lists of a chunk are cut to a block")
    func lists() {
        var random = SeededRandom(6)
        for count in KernelCases.lengths where count > 0 {
            let listed = (0..<count).filter { _ in random.chance(10) }
            let chosen = (0..<count).map { _ in random.chance(50) }
            let bits = GuardedBuffer(KernelCases.bits(count) { chosen[$0] })
            let rows = GuardedBuffer(listed.map { UInt16($0) })
            let expected = listed.filter { chosen[$0] }.map { row in UInt16((0..<row).count { chosen[$0] }) }
            let start = UInt32(3 * 8192)
            let wide = GuardedBuffer(listed.map { UInt32($0) + start } + [start + UInt32(count), start + 9000])
            KernelCases.forEachLevel { level in
                let out = GuardedBuffer(repeating: UInt16(0), count: listed.count + 1)
                let found = ck_select_rows(rows.start, listed.count, count, bits.start, out.start)
                #expect(Array(out.array.prefix(found)) == expected, "\(count) rows, level \(level)")
                let narrow = GuardedBuffer(repeating: UInt16(0), count: listed.count + 32)
                let taken = ck_narrow_rows(wide.start, wide.count, start, UInt32(count), narrow.start)
                #expect(Array(narrow.array.prefix(taken)) == listed.map { UInt16($0) })
            }
        }
    }
}
