// How a function or method of the host is called: its form, as people write it, and how many arguments that has.

/// What a function takes is said once, and everything else is refused before the function is called: an argument that is
/// dropped would be an answer to another question than the one that was asked.
package struct LuaForm: Sendable {
    /// As in `sort(column, "asc" or "desc")`.
    package let text: String
    private let counts: ClosedRange<Int>

    package init(_ text: String, _ counts: ClosedRange<Int>) {
        self.text = text
        self.counts = counts
    }

    package init(_ text: String, _ count: Int) { self.init(text, count...count) }

    package init(_ text: String, atLeast count: Int) { self.init(text, count...Int.max) }

    /// The function looks itself at what it is given.
    package static let any = LuaForm("", 0...Int.max)

    /// A nil counts where it is written.
    package func check(_ count: Int) throws(Failure) {
        guard !counts.contains(count) else { return }
        let (least, most) = (counts.lowerBound, counts.upperBound)
        let expected =
            most == .max
            ? "at least \(least)"
            : least == most
                ? "\(least)"
                : most == least + 1
                    ? "\(least) or \(most)" : "\(least) to \(most)"
        let isOne = most == 1 || (most == .max && least == 1)
        throw Failure(.scriptError, "\(text) takes \(expected) argument\(isOne ? "" : "s"), not \(count)")
    }
}
