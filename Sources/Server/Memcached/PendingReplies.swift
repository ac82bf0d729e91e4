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
    /// The same of a key that another node answers: see `PendingSlot.forwarded`.
    case forwardedRetrieval
    /// A line that tells the outcome.
    case line(SessionCommand)
    /// The answer to a meta command.
    case meta(MetaReply)
    /// The answer to a request of the binary protocol.
    case binary(BinaryReply)
    /// `OK`, or why not.
    case acknowledgement
    /// What a login is told that had to wait; of the binary protocol with what it echoes.
    case login(BinaryEcho?)
    /// noreply: nothing, but it counts towards what may be under way.
    case silent(SessionCommand)
}

/// What the answer to a request of the binary protocol needs once that is gone.
struct BinaryReply {
    let echo: BinaryEcho
    /// What the item was asked for; nil where it is a value alone, or a call.
    let command: MetaCommand?
    /// Empty where the answer has none.
    let key: [UInt8]

    init(_ echo: BinaryEcho, _ command: MetaCommand) { (self.echo, self.command, key) = (echo, command, []) }

    /// Of a request that no meta command is the same as.
    init(_ echo: BinaryEcho, key: UnsafeRawBufferPointer) {
        self.echo = echo
        command = nil
        self.key = echo.answersKey ? Array(key) : []
    }
}

/// Which counters a command's outcome raises.
enum SessionCommand: Equatable {
    case store(StoreVerb)
    case delete
    case arithmetic(ArithmeticVerb)
    case touch, flush, virtualSet
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

    /// For something else than an answer.
    func wakeSession() { wake() }

    func collect() -> Content {
        state.withLock { state in
            state.isExpected = false
            defer { state.content = Content() }
            return state.content
        }
    }
}
