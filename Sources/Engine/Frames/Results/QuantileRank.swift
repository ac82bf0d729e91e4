// Which of the values in their order a quantile is, in whole numbers.

package enum QuantileRank {
    /// The least rank from 1 to `count` that at least the share `share` of the values reach. A share that some rank has as
    /// nearly as a double can say it is that rank: 0.07 of 100 is 7, although 0.07 is a little more than 7/100 as a double, and
    /// 100 * 0.07 more than 7.
    package static func rank(ofShare share: Double, count: Int64) -> Int64 {
        guard share > 0, count > 1 else { return min(1, count) }
        guard share < 1 else { return count }
        // share = significand / 2^shift, with a significand of 53 bits, so that the product has at most 116.
        let shift = 52 - Int(share.exponent)
        let significand = UInt64(share.significandBitPattern) | (share.isNormal ? 1 << 52 : 0)
        guard share.isNormal, shift < 120 else { return 1 }
        let product = UInt128(significand) * UInt128(UInt64(count))
        let below = Int64(product >> UInt128(shift))
        let rest = product & (1 << UInt128(shift) - 1)
        let missing = (1 << UInt128(shift)) - rest
        // Of a rank, its share of the count is off by this many parts of 2^shift, times the count; half a part is what a
        // double can't tell.
        let (nearest, error) = rest < missing ? (below, rest) : (below + 1, missing)
        if nearest > 0, 2 * error <= UInt128(UInt64(count)) { return nearest }
        return rest == 0 ? below : below + 1
    }
}
