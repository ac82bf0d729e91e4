// Why a request is not answered with what it asked for: a status, a reason for programs, a sentence for people.

package import Engine
import Gather
package import HTTPTypes

package struct HTTPFailure: Error, Sendable {
    package var status: HTTPResponse.Status
    package var reason: String
    package var message: String
    /// See `Failure.stack`.
    package var stack: [String] = []
    package var fields = HTTPFields()

    package init(_ status: HTTPResponse.Status, _ reason: String, _ message: String) {
        self.status = status
        self.reason = reason
        self.message = message
    }

    /// What the cluster says, with the status that its reason has.
    package init(_ failure: Failure) {
        self.init(failure.reason.httpStatus, failure.reason.rawValue, failure.message)
        stack = failure.stack
        if failure.reason == .overloaded { fields[.retryAfter] = "1" }
    }

    package static func badRequest(_ message: String) -> HTTPFailure {
        HTTPFailure(.badRequest, "bad_request", message)
    }

    package static func noSuch(_ what: String, _ remedy: String) -> HTTPFailure {
        HTTPFailure(.notFound, "miss", "there is no \(what): \(remedy)")
    }

    /// `{reason, message}`, and `stack` where a script failed.
    var value: Value { .error(reason: reason, message: message, stack: stack) }

    var answer: HTTPAnswer {
        var answer = HTTPAnswer(status, json: .object(["error": value]))
        for field in fields { answer.fields.append(field) }
        return answer
    }
}

extension Reason {
    /// The one table of it.
    package var httpStatus: HTTPResponse.Status {
        switch self {
        case .miss, .evicted: .notFound
        case .wrongType, .scriptError: .badRequest
        case .cancelled, .conflict: .conflict
        case .notAllowed: .forbidden
        case .budgetExceeded: .unprocessableContent
        case .timeout: .gatewayTimeout
        case .overloaded, .unreachable, .incompleteData, .wrongEpoch, .scriptVersion: .serviceUnavailable
        }
    }
}
