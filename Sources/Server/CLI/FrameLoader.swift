// The work behind `load`: file to blocks of rows, blocks to a node that spreads them, one commit at the end or none.

import Engine
import Gather

/// What a load did.
struct LoadReport: Sendable {
    var frame: String
    var rows = 0
    var rowsBefore = 0
    var skipped = 0
    /// What was wrong with the first skipped rows.
    var messages: [String] = []
    /// What was assumed about the file.
    var notes: [String] = []
    /// By column of text, the first line that has a number or a truth value in it.
    var unquoted: [String: Int] = [:]
    var nodes = 0
    var seconds = 0.0

    var text: String {
        let speed = Int(Double(rows) / max(seconds, 0.001))
        let before = rowsBefore > 0 ? ", which had \(Counted.grouped(rowsBefore))" : ""
        let skippedText =
            skipped > 0
            ? "; \(Counted.noun(skipped, "row")) did not fit and \(skipped == 1 ? "was" : "were") skipped" : ""
        let tenths = Int((seconds * 10).rounded())
        return "loaded \(Counted.noun(rows, "row")) into \(frame)\(before), on \(Counted.noun(nodes, "node")), "
            + "in \(tenths / 10).\(tenths % 10) s (\(Counted.grouped(speed)) rows a second)\(skippedText)"
    }

    var value: Value {
        .object([
            "frame": .string(frame), "rows": .int(Int64(rows)), "rowsBefore": .int(Int64(rowsBefore)),
            "skipped": .int(Int64(skipped)), "nodes": .int(Int64(nodes)), "seconds": .double(seconds),
        ])
    }
}

struct FrameLoader: Sendable {
    let frame: String
    let file: String
    let schemaText: String?
    /// What stands between the fields of a CSV file; found out unless given.
    var delimiter: UInt8?
    let skipsBadRows: Bool
    let client: NodeClient

    /// Blocks under way for each node at a time: one is parsed while the next one travels.
    private static let blocksInFlight = 2
    /// All together, in a node's memory at once.
    private static let blocksInFlightMax = 32

    func run() async throws(Failure) -> LoadReport {
        var progress = ProgressBar("loading \(frame)")
        defer { progress.finish() }
        var report = LoadReport(frame: frame)
        let load = UInt64.random(in: .min ... .max)
        var made: Value?
        do throws(Failure) {
            var source = try RowSource(path: file, schemaText: schemaText, delimiter: delimiter)
            let schema = try source.schema()
            report.notes = source.notes
            let created = try await client.control(
                .createFrame,
                .object([
                    "name": .string(frame), "schema": schema.value, "inferred": .bool(schemaText == nil),
                    "load": .int(Int64(bitPattern: load)),
                ]))
            made = created["made"]
            if case .int(let before)? = created["rows"] { report.rowsBefore = Int(before) }
            try await begin(load, &report)
            try await stage(&source, load, &report, &progress)
            report.notes += try unquotedNotes(report)
            if report.rows == 0, report.skipped > 0 {
                let first = report.messages.first.map { "; \($0)" } ?? ""
                throw Failure(.wrongType, "none of its \(Counted.noun(report.skipped, "row")) fits\(first)")
            }
        } catch {
            await abort(load, made)
            let named = error.naming(file)
            throw named.saying("\(named.message); nothing was loaded")
        }
        do throws(Failure) { try await commit(load, report) } catch {
            await abort(load, made)  // which leaves alone a frame that has rows
            throw error
        }
        report.seconds = progress.elapsedSeconds
        return report
    }

    /// Nothing stays: no rows, and no frame that was made for them. A node takes care of that too when a load's connection
    /// is lost; here it is done when the command ends.
    private func abort(_ load: UInt64, _ made: Value?) async {
        _ = try? await client.control(.abortLoad, argument(load, made: made))
    }

    private func argument(_ load: UInt64, made: Value? = nil) -> Value {
        .object([
            "load": .int(Int64(bitPattern: load)), "frame": .string(frame), "made": made ?? .null,
        ])
    }

    /// From here on the node coordinates the load. Nodes that can't be reached are left out, and whoever asks later is told that
    /// they are down.
    private func begin(_ load: UInt64, _ report: inout LoadReport) async throws(Failure) {
        let answer = try await client.control(.beginLoad, argument(load))
        guard case .int(let nodes)? = answer["nodes"], nodes > 0, case .array(let leftOut)? = answer["leftOut"] else {
            throw Failure(.scriptVersion, "\(client.address) answers in a version that is not understood")
        }
        report.nodes = Int(nodes)
        for node in leftOut {
            CommandFailure.printError("\(node["name"]?.text ?? "") is left out: \(node["message"]?.text ?? "")")
        }
    }

    private func stage(
        _ source: inout RowSource, _ load: UInt64, _ report: inout LoadReport, _ progress: inout ProgressBar
    ) async throws(Failure) {
        var underWay: [Task<Result<Value, Failure>, Never>] = []
        let blocksMax = min(report.nodes * Self.blocksInFlight, Self.blocksInFlightMax)
        while let block = try source.nextBlock() {
            let request = PeerRequest.stage(
                StageRequest(
                    load: load, frame: frame, format: source.format, header: source.header,
                    firstLine: UInt64(block.firstLine),
                    skipsBadRows: skipsBadRows, bytes: block.bytes))
            underWay.append(
                Task {
                    do throws(Failure) {
                        return .success(try await client.send(request, timeoutMilliseconds: 60_000))
                    } catch {
                        return .failure(error)
                    }
                })
            if underWay.count >= blocksMax {
                Self.count(try await underWay.removeFirst().value.get(), &report)
            }
            progress.update(fraction: source.fractionRead, Counted.noun(report.rows, "row"))
        }
        for block in underWay { Self.count(try await block.value.get(), &report) }
    }

    /// Of columns that `schemaText` does not declare: who declares text wants it.
    private func unquotedNotes(_ report: LoadReport) throws(Failure) -> [String] {
        let declared =
            try schemaText.map { text throws(Failure) in try FrameSchema(parsing: text).columns.map(\.name) } ?? []
        return report.unquoted.filter { !declared.contains($0.key) }.sorted { ($0.value, $0.key) < ($1.value, $1.key) }
            .map { name, line in
                "column '\(name)' is text, and has numbers or truth values from line \(line) on, which are kept as text: 5 and "
                    + "\"5\" are one (--schema '\(name):string' if that is meant)"
            }
    }

    private static func count(_ answer: Value, _ report: inout LoadReport) {
        if case .map(let lines)? = answer["unquoted"] {
            for pair in lines {
                guard let name = pair.key.text, case .int(let line) = pair.value else { continue }
                report.unquoted[name] = min(report.unquoted[name] ?? .max, Int(line))
            }
        }
        if case .int(let rows)? = answer["rows"] { report.rows += Int(rows) }
        if case .int(let skipped)? = answer["skipped"] { report.skipped += Int(skipped) }
        guard case .array(let messages)? = answer["messages"] else { return }
        report.messages += messages.compactMap(\.text).prefix(max(0, 5 - report.messages.count))
    }

    /// On all nodes or on none; when it is not known on which, the message says so.
    private func commit(_ load: UInt64, _ report: LoadReport) async throws(Failure) {
        let answer = try await client.control(
            .commitLoad, argument(load), timeoutMilliseconds: Self.commitMilliseconds)
        guard answer["rows"] == .int(Int64(report.rows)) else {
            throw Failure(
                .incompleteData,
                "not all of \(Counted.noun(report.rows, "row")) are in \(frame): "
                    + "drop it (cacheismo query frame:drop:\(frame)) and load again")
        }
    }

    /// Longer than the nodes take to be sure of each other.
    private static let commitMilliseconds = 90_000
}
