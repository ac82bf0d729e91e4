// How a client of the binary protocol says who it is: SASL with the mechanism PLAIN (RFC 4616).
//
// Unsafe: reads a login through a raw buffer, within its count.

import Gather

/// Pure: what came in, what to answer out.
struct BinaryLogin {
    enum Answer: Equatable {
        /// Nobody has to log in here, so there is no such command.
        case none
        case mechanisms
        /// The name of the mechanism is longer than any.
        case invalid
        /// Name and password are to come in the next step.
        case goOn
        /// What the user may do.
        case right(Roles)
        case wrong
    }

    private let credentials: Credentials?
    /// The client may do what it likes.
    private(set) var isAllowed: Bool
    /// It has said how, and not yet who.
    private var awaitsData = false

    init(_ credentials: Credentials?) {
        self.credentials = credentials
        isAllowed = credentials == nil
    }

    /// A client that logs in anew is nobody until that has gone well.
    mutating func answer(
        _ verb: BinaryVerb, mechanism: UnsafeRawBufferPointer, _ data: UnsafeRawBufferPointer
    ) -> Answer {
        guard let credentials else { return .none }
        if verb == .listMechanisms { return .mechanisms }
        guard mechanism.count <= BinaryRequestParser.mechanismBytesMax else { return .invalid }
        let isDue = verb == .authenticate || awaitsData
        awaitsData = false
        isAllowed = false
        guard isDue, isWord(mechanism, "PLAIN") else { return .wrong }
        if data.isEmpty, verb == .authenticate {
            awaitsData = true
            return .goOn
        }
        guard let roles = Self.roles(data, credentials) else { return .wrong }
        isAllowed = true
        return .right(roles)
    }

    /// `[as whom] NUL name NUL password`; nobody may be another than who gave the password.
    private static func roles(_ data: UnsafeRawBufferPointer, _ credentials: Credentials) -> Roles? {
        guard let first = data.firstIndex(of: 0), let second = data[(first + 1)...].firstIndex(of: 0) else {
            return nil
        }
        let other = data[..<first]
        let name = data[(first + 1)..<second]
        guard other.isEmpty || other.elementsEqual(name) else { return nil }
        return credentials.roles(
            UnsafeRawBufferPointer(rebasing: name), UnsafeRawBufferPointer(rebasing: data[(second + 1)...]))
    }
}
