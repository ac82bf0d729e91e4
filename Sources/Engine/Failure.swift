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

    /// Who can mend it, unless a failure says otherwise: the one table of that.
    package var fault: Fault {
        switch self {
        case .miss, .wrongType, .scriptError, .budgetExceeded, .conflict: .caller
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

/// A typed failure: the reason for programs, the message (one line, naming the thing and the remedy) for people.
package struct Failure: Error, Sendable, Hashable, CustomStringConvertible {
    package let reason: Reason
    package let message: String
    package let fault: Fault

    /// - Parameter fault: where it is not the one that the reason has for most failures.
    package init(_ reason: Reason, _ message: String, fault: Fault? = nil) {
        self.reason = reason
        self.fault = fault ?? reason.fault
        self.message =
            message.contains(where: \.isNewline)
            ? String(message.map { $0.isNewline ? " " : $0 }) : message
    }

    /// A plain key that is not there: a miss and nothing else.
    package static let noSuchKey = Failure(.miss, "no such key")

    /// The same failure, its message beginning with the thing that it is about unless it says so already.
    package func naming(_ thing: String) -> Failure {
        message.contains(thing) ? self : Failure(reason, "\(thing): \(message)", fault: fault)
    }

    /// `reason message`, the form that follows the fault's word on the wire.
    package var description: String { "\(reason.rawValue) \(message)" }
}
