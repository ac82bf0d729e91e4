// How many different values a HyperLogLog's registers have seen, without the bias of the original estimate (O. Ertl, "New
// cardinality estimation algorithms for HyperLogLog sketches", 2017, algorithms 5 and 6).

import Glibc

enum RegisterEstimate {
    /// `registers` hold at most `greatest`, the number of a hash whose other bits are all zero.
    static func count(_ registers: [UInt8], greatest: Int) -> Int64 {
        let size = Double(registers.count)
        var histogram = [Double](repeating: 0, count: greatest + 1)
        for register in registers { histogram[min(Int(register), greatest)] += 1 }
        var sum = size * tau(1 - histogram[greatest] / size)
        for value in stride(from: greatest - 1, through: 1, by: -1) { sum = (sum + histogram[value]) / 2 }
        sum += size * sigma(histogram[0] / size)
        let estimate = (size * size / (2 * log(2) * sum)).rounded()
        // Registers that came from elsewhere may be as full as they like.
        return estimate < 0x1p63 ? Int64(estimate) : .max
    }

    private static func sigma(_ share: Double) -> Double {
        guard share < 1 else { return .infinity }
        var (power, weight, sum, before) = (share, 1.0, share, -1.0)
        while sum != before {
            power *= power
            before = sum
            sum += power * weight
            weight += weight
        }
        return sum
    }

    private static func tau(_ share: Double) -> Double {
        guard share > 0, share < 1 else { return 0 }
        var (root, weight, sum, before) = (share, 1.0, 1 - share, -1.0)
        while sum != before {
            root.formSquareRoot()
            before = sum
            weight /= 2
            sum -= (1 - root) * (1 - root) * weight
        }
        return sum / 3
    }
}
