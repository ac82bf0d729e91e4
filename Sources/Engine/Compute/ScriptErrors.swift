// The errors of methods and jobs by their kinds: whoever is told hears of the first of a kind, and then how many there were.

import Synchronization

package final class ScriptErrors: Sendable {
    package struct Report: Sendable {
        /// `TYPE:METHOD`, or `job NAME`.
        package let what: String
        /// The object's name; nil for a job.
        package let object: String?
        package let failure: Failure
        /// Of this kind so far.
        package let count: Int
    }

    /// What one of its kind has: the thing that was called, and the place in its file, or the reason where no script ran.
    private struct Kind: Hashable {
        let what: String
        let place: String
    }

    /// A script may raise a text of some MiB.
    private static let messageBytesMax = 1_000
    /// Kinds beyond these are told no more.
    private static let kindsMax = 1_000

    private let tell: @Sendable (Report) -> Void
    private let counts = Mutex([Kind: Int]())

    /// `tell` gets the first of a kind, the tenth, the hundredth and so on, on the thread that it failed on.
    package init(tell: @escaping @Sendable (Report) -> Void = { _ in }) { self.tell = tell }

    package func note(_ what: String, object: String?, _ failure: Failure) {
        let kind = Kind(what: what, place: Self.place(failure))
        let count = counts.withLock { counts -> Int in
            guard counts.count < Self.kindsMax || counts[kind] != nil else { return 0 }
            counts[kind, default: 0] += 1
            return counts[kind] ?? 0
        }
        guard Self.isRound(count) else { return }
        let short = failure.cut(messageBytesMax: Self.messageBytesMax)
        tell(Report(what: what, object: object, failure: short, count: count))
    }

    /// The innermost function, by file and line: what a message says may be different each time.
    private static func place(_ failure: Failure) -> String { failure.stack.first ?? failure.reason.rawValue }

    private static func isRound(_ count: Int) -> Bool {
        var count = count
        while count >= 10, count % 10 == 0 { count /= 10 }
        return count == 1
    }
}
