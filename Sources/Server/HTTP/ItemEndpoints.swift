// `/v1/items/{key}`: plain items, their bytes as they are, with their unique as ETag.

import Engine
import Gather
import HTTPTypes

struct ItemEndpoints: Sendable {
    private let router: Router
    private let counters: HTTPCounters
    private static let timeoutMilliseconds = 2_000

    init(_ router: Router, _ counters: HTTPCounters) {
        self.router = router
        self.counters = counters
    }

    var all: [HTTPEndpoint] {
        let bytesMax = router.engine.configuration.itemBytesMax
        return [
            HTTPEndpoint(.get, "/v1/items/{key}", .readItem) { call throws(HTTPFailure) in try await get(call) },
            HTTPEndpoint(.put, "/v1/items/{key}", .changeItem, body: .anything, bodyMax: bytesMax, words: ["ttl"]) {
                call throws(HTTPFailure) in try await put(call)
            },
            HTTPEndpoint(.delete, "/v1/items/{key}", .changeItem) { call throws(HTTPFailure) in try await delete(call)
            },
        ]
    }

    private func get(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let (flags, unique, bytes) = try await item(call.names[0])
        var answer = HTTPAnswer(.ok, type: "application/octet-stream", bytes)
        answer.fields[.eTag] = Self.tag(unique)
        answer.fields[.flags] = String(flags)
        if let known = call.fields[.ifNoneMatch], Self.matches(known, unique) {
            answer.status = .notModified
            answer.body = .bytes([])
            answer.fields[.contentType] = nil
        }
        return answer
    }

    private func put(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let key = call.names[0]
        if let refusal = Key.refusal(ofText: key) { throw HTTPFailure(refusal) }
        let now = router.cluster.environment.unixSeconds
        var expiry = Expiry.never
        if let text = try call.query.one("ttl") {
            guard let seconds = Int64(text) else {
                throw .badRequest("ttl=\(text.prefix(40)) is no whole number of seconds")
            }
            expiry = Expiry(exptime: seconds, now: now)
        }
        var flags: UInt32 = 0
        if let text = call.fields[.flags] {
            guard let number = UInt32(text) else {
                throw .badRequest("X-Flags: '\(text.prefix(40))' is no number of 32 bits")
            }
            flags = number
        }
        var verb = StoreVerb.set
        var unique: UInt64?
        switch (call.fields[.ifMatch], call.fields[.ifNoneMatch]) {
        case (nil, nil): break
        case (nil, "*"): verb = .add
        case (let tag?, nil):
            if tag == "*" { verb = .replace }
            if tag != "*" {
                guard let number = Self.unique(tag) else { throw Self.otherTag }
                unique = number
            }
        default: throw .badRequest("write If-Match: ETAG, or If-None-Match: *, or neither")
        }
        var command = MetaCommand(.set)
        // No PUT that was refused changes anything.
        command.options = .keepsWhatIsThere
        command.storeVerb = verb
        command.flags = flags
        command.expiry = expiry
        if let unique {
            command.options.insert(.comparesUnique)
            command.unique = unique
        }
        let stored = try await execute(command, value: call.body, key)
        switch stored.status {
        case .found:
            var answer = HTTPAnswer(.noContent)
            answer.fields[.eTag] = Self.tag(stored.facts.unique)
            return answer
        case .exists, .miss, .notStored:
            throw verb == .add
                ? HTTPFailure(.preconditionFailed, "exists", "there is an item under this key already") : Self.otherTag
        case .tooLarge: throw Self.tooLarge(router.engine.configuration.itemBytesMax)
        case .outOfMemory, .notANumber:
            throw HTTPFailure(.serviceUnavailable, Reason.overloaded.rawValue, "no memory is left to store it")
        }
    }

    private func delete(_ call: HTTPCall) async throws(HTTPFailure) -> HTTPAnswer {
        let key = call.names[0]
        var command = MetaCommand(.delete)
        guard call.fields[.ifNoneMatch] == nil else {
            throw .badRequest("what is there is deleted: write If-Match: ETAG, or neither it nor If-None-Match")
        }
        if let tag = call.fields[.ifMatch], tag != "*" {
            guard let unique = Self.unique(tag) else { throw Self.otherTag }
            command.options = .comparesUnique
            command.unique = unique
        }
        switch try await execute(command, value: [], key).status {
        case .found: return HTTPAnswer(.noContent)
        case .exists: throw Self.otherTag
        default: throw Self.missing
        }
    }

    private func item(_ key: [UInt8]) async throws(HTTPFailure) -> (flags: UInt32, unique: UInt64, bytes: [UInt8]) {
        switch await execute(.get, key) {
        case .value(let flags, let unique, let bytes): return (flags, unique, bytes)
        case .failed(let failure): throw HTTPFailure(failure)
        default: throw Self.missing
        }
    }

    private func execute(_ command: ItemCommand, _ key: [UInt8]) async -> ItemOutcome {
        let deadline = router.cluster.environment.deadline(afterMilliseconds: Self.timeoutMilliseconds)
        let outcome = await awaiting { router.execute(command, key: key, deadline: deadline, completion: $0) }
        if case .meta(let meta, _) = command {
            counters.count(outcome, of: meta)
        } else {
            counters.count(outcome, of: nil)
        }
        return outcome
    }

    private func execute(
        _ command: MetaCommand, value: [UInt8], _ key: [UInt8]
    ) async throws(HTTPFailure) -> MetaAnswer {
        switch await execute(.meta(command, value: value), key) {
        case .meta(let answer): return answer
        case .failed(let failure): throw HTTPFailure(failure)
        default: throw HTTPFailure(PeerReply.notUnderstood)
        }
    }

    private static let missing = HTTPFailure(.notFound, "miss", "there is no item under this key")
    private static let otherTag = HTTPFailure(
        .preconditionFailed, "exists", "the item has another ETag, or is not there: read it again")

    private static func tooLarge(_ bytesMax: Int) -> HTTPFailure {
        HTTPFailure(
            .contentTooLarge, "too_large",
            "an item has at most \(bytesMax) bytes, with its key, and 12 to 20 besides: -I raises that")
    }

    private static func tag(_ unique: UInt64) -> String { "\"\(unique)\"" }

    private static func unique(_ tag: String) -> UInt64? {
        guard tag.count > 2, tag.hasPrefix("\""), tag.hasSuffix("\"") else { return nil }
        return UInt64(tag.dropFirst().dropLast())
    }

    private static func matches(_ list: String, _ unique: UInt64) -> Bool {
        HTTPTags.matches(list, tag(unique))
    }
}

/// Lists of ETags.
enum HTTPTags {
    /// Whether `tag` is in the list, or the list is `*`. Weak ones count.
    static func matches(_ list: String, _ tag: String) -> Bool {
        list.split(separator: ",").map(\.trimmed).contains { known in
            known == "*" || known == tag || known.hasPrefix("W/") && known.dropFirst(2) == tag
        }
    }
}
