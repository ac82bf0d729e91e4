// A request as endpoints see it: what was asked, with which words and fields, and the bytes that came with it.

package import Gather
package import HTTPTypes
import Synchronization

package struct HTTPCall: Sendable {
    package let method: HTTPRequest.Method
    /// Between the slashes, decoded.
    package let path: [[UInt8]]
    package let query: HTTPQuery
    /// What the client calls this node.
    package let host: String?
    package let fields: HTTPFields
    package var body: [UInt8] = []
    /// What the path has in the places of its endpoint's names.
    package var names: [[UInt8]] = []
    /// Told when the client goes away; nil where nobody watches.
    package var client: ClientWatch?
    /// What whoever asks may do; known once the call is admitted.
    package var roles = Roles()

    /// Throws 400 for a path or words that can't be decoded.
    package init(
        _ method: HTTPRequest.Method, _ target: String, host: String?, fields: HTTPFields = HTTPFields(),
        body: [UInt8] = [], client: ClientWatch? = nil
    ) throws(HTTPFailure) {
        let mark = target.firstIndex(of: "?") ?? target.endIndex
        var path: [[UInt8]] = []
        for part in target[..<mark].utf8.dropFirst().split(
            separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        {
            guard let decoded = HTTPQuery.decoded(part) else { throw .badRequest(Self.malformed) }
            path.append(decoded)
        }
        guard let query = HTTPQuery(target[mark...].dropFirst()) else { throw .badRequest(Self.malformed) }
        self.method = method
        self.path = path
        self.query = query
        self.host = host
        self.fields = fields
        self.body = body
        self.client = client
    }

    private static let malformed = "a % in the path or the query is no escape: write %25 for a percent sign"

    /// The name at a place of the path, as text.
    func name(_ at: Int = 0) -> String { String(decoding: names[at], as: UTF8.self) }

    /// Without what stands behind a semicolon, in small letters.
    var contentType: String? {
        fields[.contentType].map { String($0.prefix { $0 != ";" }).trimmed.lowercased() }
    }

    /// Whether integers beyond 2^53 are to be text.
    func wantsTextIntegers() throws(HTTPFailure) -> Bool {
        guard let word = try query.one("ints") else { return false }
        guard word == "string" else {
            throw .badRequest("ints=\(word) is not understood: write ints=string, or nothing")
        }
        return true
    }
}

extension StringProtocol {
    var trimmed: String {
        var part = self[...]
        while let first = part.first, first == " " || first == "\t" { part.removeFirst() }
        while let last = part.last, last == " " || last == "\t" { part.removeLast() }
        return String(part)
    }
}

/// Knows whether a connection's client is still there, and where it is.
package final class ClientWatch: Sendable {
    package let address: ClientAddress
    /// A login of this connection was right: the next ones are no attempts.
    private let known = Atomic<Bool>(false)
    private struct State {
        var isGone = false
        var calls: [Int: @Sendable () -> Void] = [:]
        var last = 0
    }
    private let state = Mutex(State())

    package init(_ address: ClientAddress = .local) { self.address = address }

    var isKnown: Bool { known.load(ordering: .relaxed) }
    func markKnown() { known.store(true, ordering: .relaxed) }

    /// `call` runs when the client goes, at once where it has gone. The number takes it back.
    package func whenGone(_ call: @escaping @Sendable () -> Void) -> Int {
        let number: Int? = state.withLock { state in
            guard !state.isGone else { return nil }
            state.last += 1
            state.calls[state.last] = call
            return state.last
        }
        guard let number else {
            call()
            return 0
        }
        return number
    }

    package func forget(_ number: Int) { state.withLock { _ = $0.calls.removeValue(forKey: number) } }

    package func gone() {
        let calls = state.withLock { state in
            state.isGone = true
            defer { state.calls = [:] }
            return state.calls.values.map { $0 }
        }
        for call in calls { call() }
    }
}
