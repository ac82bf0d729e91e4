// What a node tells of itself in its log: each thing once, when it happens, with fields for machines.

import Engine
import Gather
import Logging

struct LogEvents: Sendable {
    private let logger: Logger

    init(_ logger: Logger) { self.logger = logger }

    func started(_ node: ClusterNode, _ configuration: SessionConfiguration, places: [String], http: String?) {
        let (engine, topology) = (node.cluster.engine, node.cluster.topology)
        let (memory, frames) = (configuration.memoryBytes >> 20, engine.frames.resources.memory.limitBytes >> 20)
        let peers = node.cluster.otherNodes.map { "\(topology.nodes[$0].name)=\(topology.nodes[$0].address)" }
        let also = http.map { ", HTTP on \($0)" } ?? ""
        logger.notice(
            """
            \(topology.selfName) has started: cacheismo \(CacheismoVersion.product) on \(places.joined(separator: ", "))\
            \(also); \(memory) MiB for items, \(frames) for frames, \(configuration.connectionsMax) connections\
            \(peers.isEmpty ? "" : "; peers \(peers.joined(separator: ", "))")
            """,
            metadata: [
                "event": "started", "node": .string(topology.selfName), "version": .string(CacheismoVersion.product),
                "addresses": .array(places.map { .string($0) }), "http": .string(http ?? ""),
                "memoryBytes": .number(configuration.memoryBytes),
                "frameMemoryBytes": .number(engine.frames.resources.memory.limitBytes),
                "connections": .number(configuration.connectionsMax), "shards": .number(engine.shards.count),
                "threads": .number(configuration.threads), "peers": .array(peers.map { .string($0) }),
            ])
    }

    func ending(_ node: ClusterNode) {
        logger.notice(
            "\(node.cluster.selfName) shuts down",
            metadata: ["event": "shutdown", "node": .string(node.cluster.selfName)])
    }

    func loaded(_ script: ScriptStatus) {
        logger.notice(
            "\(script.file) was loaded: \(script.types.joined(separator: ", "))",
            metadata: [
                "event": "script_loaded", "file": .string(script.file),
                "types": .array(script.types.map { .string($0) }),
            ])
    }

    func slow(_ entry: SlowLog.Entry) {
        logger.notice(
            "slow: \(entry.what) took \(entry.milliseconds) ms",
            metadata: ["event": "slow", "what": .string(entry.what), "ms": .number(entry.milliseconds)])
    }

    func failed(_ report: ScriptErrors.Report) {
        let place = report.object.map { " of '\($0)'" } ?? ""
        let times = report.count == 1 ? "" : ", \(report.count) times so far"
        var fields: Logger.Metadata = [
            "event": "script_error", "what": .string(report.what), "reason": .string(report.failure.reason.rawValue),
            "error": .string(report.failure.message), "count": .number(report.count),
        ]
        if let object = report.object { fields["object"] = .string(object) }
        if report.count == 1, !report.failure.stack.isEmpty {
            fields["stack"] = .string(report.failure.stack.joined(separator: "; "))
        }
        logger.warning("\(report.what)\(place) failed\(times): \(report.failure.message)", metadata: fields)
    }

    func lost(rows: Int, ofFrame name: String) {
        logger.warning(
            "\(rows) rows of frame \(name) are lost, with the nodes that had them: drop it and load it again",
            metadata: ["event": "rows_lost", "frame": .string(name), "rows": .number(rows)])
    }

    /// `remedy`: how there would be room.
    func full(_ what: String, _ consequence: String, remedy: String) {
        logger.warning(
            "the memory for \(what) is full: \(consequence); \(remedy)",
            metadata: ["event": "memory_full", "memory": .string(what)])
    }
}
