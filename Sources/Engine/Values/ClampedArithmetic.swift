// Sums of numbers that others have given: they stop at the end of the range, where a plain sum would end the process.

extension FixedWidthInteger {
    /// The sum, or the end of the range that it lies beyond.
    package func clampedAdding(_ other: Self) -> Self {
        let (sum, isTooLarge) = addingReportingOverflow(other)
        guard isTooLarge else { return sum }
        return other < 0 ? .min : .max
    }
}
