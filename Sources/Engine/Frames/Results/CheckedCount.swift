// Additions of counts that others send, or merge as often as they like: exact, or a failure that says so.

extension Int64 {
    /// Adds a count of rows, which is not negative. As counts only grow, whether their sum fits does not depend on the order
    /// in which they are merged.
    @inline(__always)
    mutating func add(count: Int64) throws(Failure) {
        let (sum, isBeyond) = addingReportingOverflow(count)
        guard !isBeyond else { throw Failure.countBeyond64Bits }
        self = sum
    }
}

extension Failure {
    static let countBeyond64Bits = Failure(
        .budgetExceeded, "a count is beyond 64 bits: the same partial was merged too often; merge each one once")
}
