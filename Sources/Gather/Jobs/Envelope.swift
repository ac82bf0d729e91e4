// What is said about an answer: how complete it is, who took part, what was scanned, where the time went.

package import Engine

package struct Envelope: Sendable {
    package enum Status: String, Sendable { case complete, partial, error }

    package struct NodeReport: Sendable {
        package var node: String
        package var shards: Int
        package var milliseconds: Double?
        package var failure: Failure?
    }

    package var status = Status.complete
    package var query: UInt64
    package var job: String
    package var nodes: [NodeReport] = []
    package var rowsExpected = 0
    package var rowsScanned = 0
    package var chunksScanned = 0
    package var chunksPruned = 0
    package var chunksCached = 0
    package var milliseconds = 0.0
    package var inexactness = Inexactness()
    /// On its script's account for as long as the envelope is there.
    package var result = LeasedValue(.null)
    package var error: Failure?
    /// What the job's scripts have said.
    package private(set) var log = LoggedLines()
    /// On whose account the lines are.
    private var logOwner: JobLog?
    /// Those that its maps have looked at. Not part of what is sent.
    package var frames: Set<String> = []
    /// Of a large result: for what is made of it to be sent.
    var answerRoom: AnswerRoom?

    /// What a result may have as JSON, in bytes.
    static let resultBytesMax = 64 << 20

    package init(query: UInt64, job: String) {
        self.query = query
        self.job = job
    }

    /// The envelope as it travels and as `--json` prints it: `{"status", "query", "job", "shards", "rows", "chunks", "ms",
    /// "truncated", "approximate", "log" and "logDropped" where something is, "result" | "error"}`.
    package var value: Value {
        let asked = nodes.reduce(0) { $0 + $1.shards }
        let answered = nodes.reduce(0) { $0 + ($1.failure == nil ? $1.shards : 0) }
        let failed = nodes.compactMap { report in
            report.failure.map { failure in
                Value.object([
                    "node": .string(report.node), "shards": .int(Int64(report.shards)),
                    "reason": .string(failure.reason.rawValue), "message": .string(failure.message),
                ])
            }
        }
        let times = nodes.compactMap { report in
            report.milliseconds.map { Value.Pair(.string(report.node), .double(Self.rounded($0))) }
        }
        var pairs: [Value.Pair] = []
        func add(_ name: String, _ value: Value) { pairs.append(Value.Pair(.string(name), value)) }
        add("status", .string(status.rawValue))
        add("query", .string(String(query, radix: 16)))
        add("job", .string(job))
        add(
            "shards",
            .object(["asked": .int(Int64(asked)), "answered": .int(Int64(answered)), "failed": .array(failed)]))
        add("rows", .object(["expected": .int(Int64(rowsExpected)), "scanned": .int(Int64(rowsScanned))]))
        add(
            "chunks",
            .object([
                "scanned": .int(Int64(chunksScanned)), "pruned": .int(Int64(chunksPruned)),
                "cached": .int(Int64(chunksCached)),
            ]))
        add("ms", .object(["total": .double(Self.rounded(milliseconds)), "nodes": .map(times)]))
        if inexactness.isTruncated { add("truncated", .bool(true)) }
        if !inexactness.relativeErrors.isEmpty { add("approximate", inexactness.relativeErrorsValue) }
        if !log.lines.isEmpty { add("log", .array(log.lines.map { .string($0) })) }
        if log.dropped > 0 { add("logDropped", .int(Int64(log.dropped))) }
        if let error {
            add("error", .error(reason: error.reason.rawValue, message: error.message, stack: error.stack))
        } else {
            add("result", result.value)
        }
        return .map(pairs)
    }

    /// Room on the script's account for a large result as it is sent: JSON. So a job that has its result is not refused for it
    /// any more.
    struct AnswerRoom: Sendable {
        let bytes: Int
        let lease: MemoryLease
    }

    /// Smaller ones are on nobody's account once their job is done.
    private static let smallBytesMax = 16 << 10

    /// Takes what was said until now.
    mutating func take(_ log: JobLog) {
        self.log = log.lines
        logOwner = self.log.isEmpty ? nil : log
    }

    /// Takes a result, and room for it as it is sent. Throws where it is too long for that. Cost: that of writing it.
    mutating func take(_ result: LeasedValue, _ pace: WorkPace) throws(Failure) {
        guard let bytes = try result.value.jsonCount(bytesMax: Self.resultBytesMax, pace) else {
            throw Failure(
                .budgetExceeded,
                "the result of job \(job) has more than \(Self.resultBytesMax >> 20) MiB as JSON; "
                    + "filter, group more coarsely, or limit it")
        }
        if bytes > Self.smallBytesMax {
            answerRoom = AnswerRoom(bytes: bytes, lease: try pace.share.lease(bytes, for: "a result as it is sent"))
        }
        self.result = result
    }

    /// The envelope as JSON, where it can be sent from; nil where that is little. To be called where others may have their turns.
    package var leasedText: LeasedText? {
        guard let answerRoom, error == nil else { return nil }
        var rest = self
        rest.result = LeasedValue(.null)
        let bytes = rest.value.json.count + answerRoom.bytes
        return value.leasedJSON(bytes: bytes, answerRoom.lease, .givingWay())
    }

    /// The envelope as MessagePack, on the lease of its room; nil where it is little. To be called where others may have their
    /// turns. Throws where it takes much more than as JSON, and there is no memory for that.
    var packed: [UInt8]? {
        get throws(Failure) {
            guard let answerRoom, error == nil else { return nil }
            answerRoom.lease.give(answerRoom.bytes)
            return try value.messagePack(.givingWay(), lease: answerRoom.lease, expected: answerRoom.bytes)
        }
    }

    /// To the microsecond: more digits would only be noise.
    private static func rounded(_ milliseconds: Double) -> Double { (milliseconds * 1000).rounded() / 1000 }
}
