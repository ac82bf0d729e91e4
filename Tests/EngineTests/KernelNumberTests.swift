// The loops over numbers: each instruction set against plain loops, to the bit.

import CKernels
import Testing

@Suite("Loops over numbers", .serialized)
struct KernelNumberTests {
    private func checkCodes<C: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
        _ sum: (UnsafePointer<C>, Int) -> UInt64,
        _ bounds: (UnsafePointer<C>, Int, UnsafeMutablePointer<C>, UnsafeMutablePointer<C>) -> Void
    ) {
        var random = SeededRandom(21)
        for count in KernelCases.lengths {
            let codes = (0..<count).map { _ in random.chance(50) ? C.max : C.random(in: 0...C.max, using: &random) }
            let source = GuardedBuffer(codes)
            KernelCases.forEachLevel { level in
                #expect(sum(source.start, count) == codes.reduce(UInt64(0)) { $0 + UInt64($1) }, "level \(level)")
                guard count > 0 else { return }
                var (low, high) = (C(1), C(0))
                bounds(source.start, count, &low, &high)
                #expect(low == codes.min() && high == codes.max(), "\(count) rows of \(C.self), level \(level)")
            }
        }
    }

    @Test("codes have the sum and the bounds of a plain loop")
    func codes() {
        checkCodes(ck_sum8, ck_bounds8)
        checkCodes(ck_sum16, ck_bounds16)
        checkCodes(ck_sum32, ck_bounds32)
    }

    private static let odd: [Double] = [
        0, -0.0, 1, -1, .nan, .infinity, -.infinity, .greatestFiniteMagnitude, .leastNonzeroMagnitude, 1e-300, 0.1,
    ]

    private func numbers(_ count: Int, _ random: inout SeededRandom) -> [Double] {
        (0..<count).map { _ in
            random.chance(20) ? random.pick(Self.odd) : Double(random.below(2_000_000) - 1_000_000) / 128
        }
    }

    /// NaN equals NaN here, and 0 does not equal -0; which NaN it is does not matter.
    private func isSame(_ a: [Double], _ b: [Double]) -> Bool {
        a.count == b.count && zip(a, b).allSatisfy { $0.bitPattern == $1.bitPattern || ($0.isNaN && $1.isNaN) }
    }

    @Test("codes become the doubles that integer arithmetic gives")
    func widening() {
        var random = SeededRandom(22)
        for count in KernelCases.lengths {
            let bytes = GuardedBuffer(KernelCases.codes(count, below: UInt8.max, &random))
            let shorts = GuardedBuffer(KernelCases.codes(count, below: UInt16.max, &random))
            let words = GuardedBuffer(KernelCases.codes(count, below: UInt32.max, &random))
            let integers = GuardedBuffer((0..<count).map { _ in Int64(bitPattern: random.next()) })
            let (base, scale) = (-(Int64(1) << 31) + 1, Int64(1) << 31 - 1)
            KernelCases.forEachLevel { _ in
                let out = GuardedBuffer(repeating: 0.0, count: count)
                ck_doubles8(bytes.start, count, Double(base), Double(scale), out.start)
                #expect(out.array == bytes.array.map { Double(base + scale * Int64($0)) })
                ck_doubles16(shorts.start, count, Double(base), Double(scale), out.start)
                #expect(out.array == shorts.array.map { Double(base + scale * Int64($0)) })
                ck_doubles32(words.start, count, .max - 5, scale, out.start)
                #expect(out.array == words.array.map { Double((Int64.max - 5) &+ scale &* Int64($0)) })
                ck_doubles64(integers.start, count, out.start)
                #expect(out.array == integers.array.map { Double($0) })
            }
        }
    }

    @Test("arithmetic is that of single numbers, with zeros, infinities and NaN")
    func arithmetic() {
        typealias Two = (UnsafeMutablePointer<Double>, UnsafePointer<Double>, Int) -> Void
        typealias One = (UnsafeMutablePointer<Double>, Double, Int) -> Void
        let operations: [(two: Two, one: One, plain: (Double, Double) -> Double)] = [
            (ck_add, ck_add_number, { $0 + $1 }), (ck_subtract, ck_subtract_number, { $0 - $1 }),
            (ck_multiply, ck_multiply_number, { $0 * $1 }), (ck_divide, ck_divide_number, { $0 / $1 }),
        ]
        var random = SeededRandom(23)
        for count in KernelCases.lengths {
            let (a, b) = (numbers(count, &random), numbers(count, &random))
            let other = GuardedBuffer(b)
            let chosen = KernelCases.bits(count) { $0 % 5 == 0 }
            for operation in operations {
                KernelCases.forEachLevel { level in
                    let out = GuardedBuffer(a)
                    operation.two(out.start, other.start, count)
                    #expect(isSame(out.array, zip(a, b).map { operation.plain($0, $1) }), "level \(level)")
                    let by = GuardedBuffer(a)
                    operation.one(by.start, 60, count)
                    #expect(isSame(by.array, a.map { operation.plain($0, 60) }))
                }
            }
            KernelCases.forEachLevel { _ in
                let bits = GuardedBuffer(chosen)
                #expect(ck_mark_zeros(other.start, count, bits.start) == b.contains(0))
                #expect(bits.array == KernelCases.bits(count) { $0 % 5 == 0 || b[$0] == 0 })
            }
        }
    }

    @Test("compensated sums are the same in every instruction set, and exact for what doubles hold")
    func sums() {
        var random = SeededRandom(24)
        for count in KernelCases.lengths where count % 8 == 0 {
            let source = GuardedBuffer((0..<count).map { _ in Double(random.below(1 << 40)) / 1024 })
            let exact = source.array.reduce(Int64(0)) { $0 + Int64($1 * 1024) }
            KernelCases.forEachLevel { level in
                var (highs, lows) = ([Double](repeating: 0, count: 8), [Double](repeating: 0, count: 8))
                ck_sum_doubles(source.start, count, &highs, &lows)
                let sum = zip(highs, lows).reduce(Int64(0)) { $0 + Int64($1.0 * 1024) + Int64($1.1 * 1024) }
                #expect(sum == exact, "\(count) numbers, level \(level)")
            }
        }
    }

    @Test("extremes of doubles are found where all are finite, and given up where not")
    func extremes() {
        var random = SeededRandom(25)
        for count in KernelCases.lengths where count >= 8 {
            for spoiler in [nil, Double.nan, .infinity, -.infinity] {
                var numbers = (0..<count).map { _ in Double(random.below(2_000_000) - 1_000_000) / 128 + 0.001 }
                if let spoiler { numbers[random.below(count)] = spoiler }
                let source = GuardedBuffer(numbers)
                for isMin in [true, false] {
                    KernelCases.forEachLevel { level in
                        var found = 0.0
                        let isSafe = ck_extreme_double(source.start, count, isMin, &found)
                        #expect(isSafe == (spoiler == nil), "\(count) numbers, level \(level)")
                        if spoiler == nil { #expect(found == (isMin ? numbers.min() : numbers.max())) }
                    }
                }
            }
        }
    }
}
