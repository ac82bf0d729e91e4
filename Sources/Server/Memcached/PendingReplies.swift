// Answers that wait for another node or a method, in the order of their requests, and the inbox they arrive in.

import Engine
import Gather
import Synchronization

/// What came back.
enum PendingAnswer: Sendable {
    case item(ItemOutcome)
    case call(Result<Value, Failure>)
    /// The large answer of a call, sent from where it lies.
    case text(LeasedText)
    /// As it came from another node, among others: see `ForwardAnswer`.
    case forwarded([UInt8], at: Int)
}

/// How to put an answer on the wire.
enum PendingReply {
    /// A key of a retrieval. A lonely one brings the `END`, or says why it failed; one of many is left out.
    case retrieval(key: [UInt8], answersUnique: Bool, isAlone: Bool)
    /// The same of a key that another node answers, which is kept in the message to it.
    case forwardedRetrieval(ForwardBatch, keyAt: Int, keyBytes: UInt8, answersUnique: Bool, isAlone: Bool)
    /// A line that tells the outcome.
    case line(SessionCommand)
    /// The answer to a meta command.
    case meta(MetaReply)
    /// `OK`, or why not.
    case acknowledgement
    /// noreply: nothing, but it counts towards what may be under way.
    case silent(SessionCommand)
}

/// Which counters a command's outcome raises.
enum SessionCommand: Equatable {
    case store(StoreVerb)
    case delete
    case arithmetic(ArithmeticVerb)
    case touch, flush, virtualSet
}

struct PendingSlot {
    let reply: PendingReply
    /// Of the value that its request took along.
    var valueBytes = 0
    private(set) var answer: PendingAnswer?
    /// That there is an answer, told without a look at it.
    private(set) var isAnswered = false
    /// Bytes of the session's `behind` to send once this slot has been answered, and before the next one.
    var followingBytes = 0
    /// How many of them, from the first on, were sent already.
    var sentBytes = 0
    /// A method answers it, not an item.
    var isCall = false
    /// Of a key of a retrieval of several: which retrieval, so that its keys need not wait for each other.
    var retrieval: UInt64?
    /// How many of the bytes that follow are values of the same retrieval; more may come behind the last slot.
    var ownBytes = 0
    /// It was answered ahead of its turn.
    var isWritten = false

    init(reply: PendingReply) { self.reply = reply }

    /// The first answer counts.
    @inline(__always)
    mutating func take(_ answer: PendingAnswer) {
        guard !isAnswered else { return }
        self.answer = answer
        isAnswered = true
    }
}

/// Where completions leave their answers, from any thread, until the session's event loop collects them.
final class CompletionInbox: ForwardSink, Sendable {
    struct Content: Sendable {
        var answers: [(slot: UInt64, answer: PendingAnswer)] = []
        var forwarded: [(batch: ForwardBatch, answers: ForwardAnswers)] = []
    }

    private struct State {
        var content = Content()
        /// The session will look in by itself: it is at work, or was woken already.
        var isExpected = false
    }

    private let state = Mutex(State())
    private let wake: @Sendable () -> Void

    /// `wake` makes the session collect, on its own event loop; it may be called from any thread.
    init(wake: @escaping @Sendable () -> Void) { self.wake = wake }

    /// From now to the next `collect` nobody needs to be woken: completions that come at once are collected anyway.
    func expectVisit() { state.withLock { $0.isExpected = true } }

    func post(_ answer: PendingAnswer, slot: UInt64) { post { $0.answers.append((slot, answer)) } }

    func post(_ answers: ForwardAnswers, to batch: ForwardBatch) { post { $0.forwarded.append((batch, answers)) } }

    @inline(__always)
    private func post(_ append: (inout Content) -> Void) {
        let mustWake = state.withLock { state in
            append(&state.content)
            defer { state.isExpected = true }
            return !state.isExpected
        }
        if mustWake { wake() }
    }

    func collect() -> Content {
        state.withLock { state in
            state.isExpected = false
            defer { state.content = Content() }
            return state.content
        }
    }
}
