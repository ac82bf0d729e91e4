// Why something could not be answered: a closed set of reasons with stable wire names, and a sentence for people.

/// The reasons an answer, or a part of one, can be missing. The raw values are wire names and never change.
package enum Reason: String, Sendable, CaseIterable {
    /// The key, object or frame is not there.
    case miss
    /// It was there and was evicted to make room.
    case evicted
    /// The deadline passed before an answer came.
    case timeout
    /// The node that owns the data could not be reached.
    case unreachable
    /// Sender and receiver disagree about the ring.
    case wrongEpoch = "wrong_epoch"
    /// The object exists with another type, or a column has another type than the operation needs.
    case wrongType = "wrong_type"
    /// A script does not compile, or raised an error, or asked for something that does not exist.
    case scriptError = "script_error"
    /// Sender and receiver hold different versions of a script.
    case scriptVersion = "script_version"
    /// A script, a query or a write went over its instructions, time, memory or output: the caller's fault where it alone
    /// used that up, the server's (said at each such failure) where it is others' use.
    case budgetExceeded = "budget_exceeded"
    /// Too much work is under way already; try again later.
    case overloaded
    /// The request was cancelled.
    case cancelled
    /// Rows that were acknowledged are no longer there.
    case incompleteData = "incomplete_data"
    /// There are several frames, or jobs, of one name, made by nodes that could not reach each other: one has to be dropped.
    case conflict
    /// Whoever asks may not do that: they are of another role.
    case notAllowed = "not_allowed"

    /// Who can mend it, unless a failure says otherwise: the one table of that.
    package var fault: Fault {
        switch self {
        case .miss, .wrongType, .scriptError, .budgetExceeded, .conflict, .notAllowed: .caller
        case .evicted, .timeout, .unreachable, .wrongEpoch, .scriptVersion, .overloaded, .cancelled, .incompleteData:
            .server
        }
    }
}

/// Who can mend a failure. Some clients take a server that answers `SERVER_ERROR` out for a while.
package enum Fault: String, Sendable, CaseIterable {
    /// The same request will fail again, whoever answers it.
    case caller
    /// The server can't do it, at least now.
    case server

    /// The word that a failure begins with in memcached's protocol.
    package var wireWord: String { self == .caller ? "CLIENT_ERROR" : "SERVER_ERROR" }
}

/// A typed failure: the reason for programs, the message (one line, naming the thing and the remedy) for people. What the message
/// names is said as data besides: no code searches the text.
package struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
    /// What a message names.
    package enum Subject: Sendable, Hashable {
        /// A node, a server, a file.
        case named(String)
        /// A server to which this process could make no connection, as `host:port` or by its node's name.
        case unreached(String)

        package var name: String {
            switch self {
            case .named(let name), .unreached(let name): name
            }
        }
    }

    package let message: String
    /// Empty where the message names nothing, or nobody needs to know what.
    package let subjects: [Subject]
    /// Of what failed in a script, `file:line: in function 'name'` for each Lua function under way, the innermost first; and of a
    /// method, at last, what was called, its arguments cut short. Empty where no script ran.
    package let stack: [String]
    package let reason: Reason
    package let fault: Fault

    /// - Parameters:
    ///   - fault: where it is not the one that the reason has for most failures.
    ///   - subjects: what the message names.
    package init(_ reason: Reason, _ message: String, fault: Fault? = nil, about subjects: Subject...) {
        self.init(reason, message, fault: fault, about: subjects)
    }

    package init(
        _ reason: Reason, _ message: String, fault: Fault? = nil, about subjects: [Subject], stack: [String] = []
    ) {
        self.reason = reason
        self.fault = fault ?? reason.fault
        self.subjects = subjects
        self.stack = stack
        self.message =
            message.contains(where: \.isNewline)
            ? String(message.map { $0.isNewline ? " " : $0 }) : message
    }

    /// A plain key that is not there: a miss and nothing else.
    package static let noSuchKey = Failure(.miss, "no such key")

    /// Whether its message names this thing.
    package func names(_ thing: String) -> Bool { subjects.contains { $0.name == thing } }

    /// The same failure in other words, which name what its own named, and `more`.
    package func saying(_ message: String, about more: Subject...) -> Failure {
        Failure(reason, message, fault: fault, about: subjects + more, stack: stack)
    }

    /// The same words for another reason, and the fault that goes with that.
    package func because(of reason: Reason) -> Failure { Failure(reason, message, about: subjects, stack: stack) }

    /// The same failure, seen in a script.
    package func with(stack: [String]) -> Failure {
        Failure(reason, message, fault: fault, about: subjects, stack: stack)
    }

    /// The same failure, its message beginning with the thing that it is about unless it names that already.
    package func naming(_ thing: String) -> Failure {
        names(thing) ? self : saying("\(thing): \(message)", about: .named(thing))
    }

    /// `reason message`, the form that follows the fault's word on the wire.
    package var description: String { "\(reason.rawValue) \(message)" }
}
