// What is to be known of an answer beside its values: rows left out by a limit, columns that may be off, and whether it depends on
// more than rows; and where scripts leave word of it.

import Synchronization

/// How an answer falls short. Of two that go into one, the sum says the worse of both.
package struct Inexactness: Sendable, Equatable {
    /// Rows that pass were left out, as a `rows{…}` has a limit.
    package var isTruncated: Bool
    /// By the name that an aggregate was given: by what share of its value it may be off.
    package var relativeErrors: [String: Double]
    /// It may be another one of the same rows: the time, chance, keys, objects, or which frames there are went into it.
    package var dependsOnMore: Bool

    package init(isTruncated: Bool = false, relativeErrors: [String: Double] = [:], dependsOnMore: Bool = false) {
        self.isTruncated = isTruncated
        self.relativeErrors = relativeErrors
        self.dependsOnMore = dependsOnMore
    }

    package mutating func formUnion(_ other: Inexactness) {
        isTruncated = isTruncated || other.isTruncated
        dependsOnMore = dependsOnMore || other.dependsOnMore
        relativeErrors.merge(other.relativeErrors) { max($0, $1) }
    }

    package func union(_ other: Inexactness) -> Inexactness {
        var sum = self
        sum.formUnion(other)
        return sum
    }
}

extension Partial {
    /// Cost: a look at each group of an aggregate that may be approximate.
    package var inexactness: Inexactness {
        Inexactness(
            isTruncated: isTruncated,
            relativeErrors: Dictionary(relativeErrors.map { ($0.column, $0.error) }, uniquingKeysWith: max))
    }
}

/// What a script has seen of inexact answers, even if what it answers itself does not show it: plain tables and numbers carry
/// no word of where they came from.
package final class AnswerNote: Sendable {
    private let noted = Mutex(Inexactness())

    package init() {}

    package var inexactness: Inexactness { noted.withLock { $0 } }

    /// Rows that were left out are out of sight at once; an aggregate is, as long as it stays one, still known by its states.
    func note(seen partial: Partial) {
        if partial.isTruncated { noted.withLock { $0.isTruncated = true } }
    }

    /// The script has looked at something other than rows.
    func noteMore() { noted.withLock { $0.dependsOnMore = true } }

    /// The script gets its values.
    func note(read partial: Partial) {
        let inexactness = partial.inexactness
        noted.withLock { $0.formUnion(inexactness) }
    }
}
