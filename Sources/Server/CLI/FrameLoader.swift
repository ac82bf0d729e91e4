// The work behind `load`: file to blocks of rows, blocks to nodes in turn, one commit at the end or none.

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

    /// Blocks under way to each node at a time: one is parsed while the next one travels.
    private static let blocksInFlight = 2

    func run() async throws(Failure) -> LoadReport {
        var progress = ProgressBar("loading \(frame)")
        defer { progress.finish() }
        var report = LoadReport(frame: frame)
        let load = UInt64.random(in: .min ... .max)
        let targets = try await reachableNodes()
        defer { for target in targets { target.close() } }
        report.nodes = targets.count
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
            try await stage(&source, load, targets, &report, &progress)
            if report.rows == 0, report.skipped > 0 {
                let first = report.messages.first.map { "; \($0)" } ?? ""
                throw Failure(.wrongType, "none of its \(Counted.noun(report.skipped, "row")) fits\(first)")
            }
        } catch {
            await abort(load, made, targets)
            let place = error.message.contains(file) ? "" : "\(file): "
            throw Failure(error.reason, "\(place)\(error.message); nothing was loaded")
        }
        do throws(Failure) { try await commit(load, targets, &report) } catch {
            await abort(load, made, targets)  // which leaves alone a frame that has rows
            throw error
        }
        report.seconds = progress.elapsedSeconds
        return report
    }

    /// Nothing stays: no rows, and no frame that was made for them. A node takes care of that too when a load's connection
    /// is lost; here it is done when the command ends.
    private func abort(_ load: UInt64, _ made: Value?, _ targets: [NodeClient]) async {
        let argument = Value.object([
            "load": .int(Int64(bitPattern: load)), "frame": .string(frame), "made": made ?? .null,
        ])
        for target in targets { _ = try? await target.control(.abortLoad, argument) }
    }

    /// Any node takes rows; those that can't be reached are left out, and whoever asks later is told that they are down.
    private func reachableNodes() async throws(Failure) -> [NodeClient] {
        var reachable: [NodeClient] = []
        for (name, address) in try await client.nodes() {
            let node = client.peer(at: address)
            do {
                _ = try await node.control(.topology, .null, timeoutMilliseconds: 1_000)
                reachable.append(node)
            } catch {
                CommandFailure.printError("\(name) is left out: \(error.message)")
                node.close()
            }
        }
        guard !reachable.isEmpty else { throw Failure(.unreachable, "no node of the cluster can be reached") }
        return reachable
    }

    private func stage(
        _ source: inout RowSource, _ load: UInt64, _ targets: [NodeClient], _ report: inout LoadReport,
        _ progress: inout ProgressBar
    ) async throws(Failure) {
        var underWay: [Task<Result<Value, Failure>, Never>] = []
        var next = 0
        while let block = try source.nextBlock() {
            let request = PeerRequest.stage(
                StageRequest(
                    load: load, frame: frame, format: source.format, header: source.header,
                    firstLine: UInt64(block.firstLine),
                    skipsBadRows: skipsBadRows, bytes: block.bytes))
            let target = targets[next % targets.count]
            next += 1
            underWay.append(
                Task {
                    do throws(Failure) {
                        return .success(try await target.send(request, timeoutMilliseconds: 60_000))
                    } catch {
                        return .failure(error)
                    }
                })
            if underWay.count >= targets.count * Self.blocksInFlight {
                Self.count(try await underWay.removeFirst().value.get(), &report)
            }
            progress.update(fraction: source.fractionRead, Counted.noun(report.rows, "row"))
        }
        for block in underWay { Self.count(try await block.value.get(), &report) }
    }

    private static func count(_ answer: Value, _ report: inout LoadReport) {
        if case .int(let rows)? = answer["rows"] { report.rows += Int(rows) }
        if case .int(let skipped)? = answer["skipped"] { report.skipped += Int(skipped) }
        guard case .array(let messages)? = answer["messages"] else { return }
        report.messages += messages.compactMap(\.text).prefix(max(0, 5 - report.messages.count))
    }

    private func commit(_ load: UInt64, _ targets: [NodeClient], _ report: inout LoadReport) async throws(Failure) {
        var visible = 0
        var failures: [Failure] = []
        for result in await Self.commit(load, targets) {
            switch result {
            case .success(let answer): if case .int(let rows)? = answer["rows"] { visible += Int(rows) }
            case .failure(let failure): failures.append(failure)
            }
        }
        if let failure = failures.first {
            throw Failure(
                failure.reason,
                "\(failure.message); \(Counted.grouped(visible)) of \(Counted.noun(report.rows, "row")) are in \(frame): "
                    + "drop it (cacheismo query frame:drop:\(frame)) and load again")
        }
        guard visible == report.rows else {
            throw Failure(
                .incompleteData,
                "\(Counted.grouped(visible)) of \(Counted.noun(report.rows, "row")) are in \(frame): "
                    + "drop it (cacheismo query frame:drop:\(frame)) and load again")
        }
    }

    /// On all nodes at the same time: the shorter the time in which some show the rows and others do not, the better.
    private static func commit(_ load: UInt64, _ targets: [NodeClient]) async -> [Result<Value, Failure>] {
        await withTaskGroup(of: Result<Value, Failure>.self) { group in
            for target in targets {
                group.addTask {
                    do throws(Failure) {
                        return .success(
                            try await target.control(.commitLoad, argument(load), timeoutMilliseconds: 60_000))
                    } catch {
                        return .failure(error)
                    }
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }

    private static func argument(_ load: UInt64) -> Value { .object(["load": .int(Int64(bitPattern: load))]) }
}
