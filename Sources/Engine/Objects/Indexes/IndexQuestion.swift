// What can be asked of an index, and what it answers.

/// What can be asked of an index.
package enum IndexQuestion: Sendable, Equatable {
    /// The objects with the greatest values, at most so many.
    case top(Int)
    /// Those with at least that value: their number, and the greatest ones, at most so many.
    case above(Double, limit: Int)
    /// How many objects there are in it.
    case count
}

/// The part of an answer that one shard, or several, gave.
package struct IndexAnswer: Sendable, Equatable {
    package struct Entry: Sendable, Equatable {
        package let object: [UInt8]
        package let value: Double

        package init(object: [UInt8], value: Double) {
            self.object = object
            self.value = value
        }
    }

    /// All that the question is about, listed or not.
    package var count = 0
    /// From the greatest value down, of equal ones by name.
    package var entries: [Entry] = []

    package init(count: Int = 0, entries: [Entry] = []) {
        self.count = count
        self.entries = entries
    }

    /// What two shards answer together, of which no object is on both.
    package mutating func merge(_ other: IndexAnswer, for question: IndexQuestion) {
        count = count.clampedAdding(other.count)
        entries += other.entries
        entries.sort { one, next in
            one.value != next.value ? one.value > next.value : one.object.lexicographicallyPrecedes(next.object)
        }
        switch question {
        case .top(let limit), .above(_, let limit): entries.removeSubrange(min(limit, entries.count)...)
        case .count: break
        }
    }
}

/// How far the work for a question has come.
struct IndexWork {
    let name: String
    let question: IndexQuestion
    /// The next entries to be looked at; nil when all have been.
    var cursor: Int? = 0

    init(_ name: String, _ question: IndexQuestion) {
        self.name = name
        self.question = question
    }
}

extension ObjectHost {
    /// Asks an index of this shard. The completion is called once, on another thread. Fails with `miss`, `budget_exceeded`,
    /// `overloaded`, or `timeout` when the deadline came first; what was done for the answer by then stays done.
    package func ask(
        index name: String, _ question: IndexQuestion, deadline: Deadline,
        completion: @escaping @Sendable (Result<IndexAnswer, Failure>) -> Void
    ) {
        compute.submit { self.goOn(IndexWork(name, question), deadline, completion) }
    }

    private func goOn(
        _ work: IndexWork, _ deadline: Deadline,
        _ completion: @escaping @Sendable (Result<IndexAnswer, Failure>) -> Void
    ) {
        guard !compute.environment.hasPassed(deadline) else {
            return completion(.failure(Failure(.timeout, "the deadline passed before index \(work.name) could answer")))
        }
        inspect { entered in
            do throws(Failure) {
                var next = work
                if let answer = try entered.get().answer(&next) { return completion(.success(answer)) }
                let more = next
                // Others come in between.
                self.compute.submit { self.goOn(more, deadline, completion) }
            } catch {
                completion(.failure(error))
            }
        }
    }
}
