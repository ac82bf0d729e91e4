// The runs of all nodes as `GET /v1/runs` and `job:active` tell of them, and their end by `DELETE` and `job:cancel`.

import Coordination
package import Engine

extension NodeReports {
    /// Under way or over, of all nodes that answer within a second, the youngest first, and those that don't; see `value(of:withEnvelope:)`.
    package func runs() async -> (runs: [Value], leftOut: [String]) {
        var runs: [Value] = []
        var leftOut: [String] = []
        var progress: [String: (rows: Int64, expected: Int64)] = [:]
        for (node, answer) in await reports(about: "runs") {
            guard case .success(let told) = answer else {
                leftOut.append(node)
                continue
            }
            if case .array(let list)? = told["runs"] { runs += list }
            guard case .array(let maps)? = told["maps"] else { continue }
            for map in maps {
                guard let id = map["id"]?.text else { continue }
                var sum = progress[id] ?? (0, 0)
                if case .int(let rows)? = map["rows"] { sum.rows = sum.rows.clampedAdding(rows) }
                if case .int(let rows)? = map["expected"] { sum.expected = sum.expected.clampedAdding(rows) }
                progress[id] = sum
            }
        }
        let sorted = runs.sorted { ($0["started"]?.text ?? "") > ($1["started"]?.text ?? "") }.map { run in
            guard run["state"] == .string("running"), let sum = progress[run["id"]?.text ?? ""] else { return run }
            return run.replacing("rows", Self.rows(sum.rows, sum.expected))
        }
        return (sorted, leftOut)
    }

    /// The run with its envelope once it is done, whichever node coordinates it; nil where none knows it. Throws where none of those
    /// that answer does, and not all answer.
    package func run(_ query: UInt64) async throws(Failure) -> Value? {
        let found = try await look(at: query)
        return found?["state"] == .string("running") ? await withProgress(found, query) : found
    }

    /// The same, of one under way without how far it is, which all nodes have to be asked for.
    private func look(at query: UInt64) async throws(Failure) -> Value? {
        if let own = ownRun(query) { return own }
        var found: Value?
        var failure: Failure?
        for (_, answer) in await reports(about: "run", query: query) {
            switch answer {
            case .success(let told): if told != .null { found = told }
            case .failure(let why): failure = failure ?? why
            }
        }
        if found == nil, let failure { throw failure }
        return found
    }

    private func withProgress(_ run: Value?, _ query: UInt64) async -> Value? {
        run?.replacing("rows", await progress(query))
    }

    /// How long a cancelled run has to end before it is shown as it is: it ends at its next block or instruction, once its
    /// thread has a turn.
    private static let endingMilliseconds = 2_000
    /// Between two looks whether it has: more each time.
    private static let lookMilliseconds = (least: 2, most: 50)
    /// A node that has no time for a cancel refuses what comes late: it is said again after so many looks.
    private static let looksPerCancel = 16

    /// Ends it on all nodes where it is under way. Whether it was under way, and the run as it is then; nil as above.
    package func cancel(_ query: UInt64) async throws(Failure) -> (wasRunning: Bool, run: Value)? {
        guard let before = try await look(at: query) else { return nil }
        guard before["state"] == .string("running") else { return (false, before) }
        let environment = cluster.environment
        let deadline = environment.deadline(afterMilliseconds: Self.endingMilliseconds)
        var (pause, looks) = (Self.lookMilliseconds.least, 0)
        while true {
            if looks % Self.looksPerCancel == 0 { _ = await reports(about: "cancel", query: query) }
            looks += 1
            // What its node has forgotten is over.
            guard let now = try await look(at: query) else { return (true, before.replacing("state", .string("done"))) }
            guard now["state"] == .string("running") else { return (true, now) }
            guard !environment.hasPassed(deadline) else { return (true, await withProgress(now, query) ?? now) }
            await environment.sleep(milliseconds: pause)
            pause = min(2 * pause, Self.lookMilliseconds.most)
        }
    }

    /// The number that an id stands for; nil where it is none as they are written.
    package static func query(id: String) -> UInt64? {
        guard let query = UInt64(id, radix: 16), String(query, radix: 16) == id else { return nil }
        return query
    }

    /// Of all nodes together.
    private func progress(_ query: UInt64) async -> Value {
        var (scanned, expected): (Int64, Int64) = (0, 0)
        for (_, answer) in await reports(about: "progress", query: query) {
            guard case .success(let told) = answer else { continue }
            if case .int(let rows)? = told["rows"] { scanned = scanned.clampedAdding(rows) }
            if case .int(let rows)? = told["expected"] { expected = expected.clampedAdding(rows) }
        }
        return Self.rows(scanned, expected)
    }

    package static func rows(_ scanned: Int64, _ expected: Int64) -> Value {
        .object(["scanned": .int(scanned), "expected": .int(expected)])
    }
}

extension Value {
    /// A map with another value under a key that it has.
    package func replacing(_ key: String, _ value: Value) -> Value {
        guard case .map(let pairs) = self else { return self }
        return .map(pairs.map { $0.key == .string(key) ? Pair($0.key, value) : $0 })
    }
}
