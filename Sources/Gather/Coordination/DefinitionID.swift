// The name of one definition of a frame or a job: the run of a node that made it, and which of that run's it is.

/// Unique among all that were ever made, without a clock and without asking anybody. Written as `9f3a77b012345678.3`.
package struct DefinitionID: Sendable, Hashable, Comparable, LosslessStringConvertible {
    /// More than a run can make; sums with it stay within 64 bits.
    package static let numberMax: UInt64 = 1 << 48

    /// The incarnation of the node that made it.
    package let run: UInt64
    /// Counted from 1.
    package let number: UInt64

    package init(run: UInt64, number: UInt64) {
        self.run = run
        self.number = number
    }

    /// Nil for what `description` does not write.
    package init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let run = UInt64(parts[0], radix: 16), let number = UInt64(parts[1]),
            (1...Self.numberMax).contains(number)
        else { return nil }
        self.init(run: run, number: number)
    }

    package var description: String { "\(String(run, radix: 16)).\(number)" }

    package static func < (a: Self, b: Self) -> Bool { (a.run, a.number) < (b.run, b.number) }
}
