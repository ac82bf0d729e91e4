// Notices what nobody tells of itself: rows that were lost, memory that is full. Looks once a second.

import Engine
import Gather
import Logging

struct NodeWatch: Sendable {
    let node: ClusterNode
    let statistics: MemcachedStatistics
    let logger: Logger

    /// What was seen at the last look.
    private struct Seen {
        var lostRows: [String: Int] = [:]
        var evictions: UInt64 = 0
        var itemRefusals: UInt64 = 0
        var frameRefusals = 0
        /// Looks since something was last refused: after a quiet minute it is told anew.
        var quietItems = quietLooks
        var quietFrames = quietLooks
    }

    private static let quietLooks = 60

    /// Until it is cancelled.
    func start() -> Task<Void, Never> {
        Task {
            var seen = Seen()
            while !Task.isCancelled {
                do { try await Task.sleep(for: .seconds(1)) } catch { return }
                look(&seen)
            }
        }
    }

    private func look(_ seen: inout Seen) {
        let events = LogEvents(logger)
        let lost = node.reports.lostRows
        for (name, rows) in lost.sorted(by: { $0.key < $1.key }) where rows > seen.lostRows[name] ?? 0 {
            events.lost(rows: rows, ofFrame: name)
        }
        seen.lostRows = lost

        let engine = node.cluster.engine
        let evictions = engine.stores.all.reduce(UInt64(0)) { $0 + $1.statistics.evictions }
        if seen.evictions == 0, evictions > 0 {
            events.full("items", "those that are used least go from now on", remedy: "-m makes more room")
        }
        seen.evictions = evictions

        // `stats reset` may have set it back.
        let refused = statistics[.storeNoMemory]
        if refused > seen.itemRefusals, seen.quietItems >= Self.quietLooks {
            events.full("items", "what is stored is refused", remedy: "-m makes more room, and without -M old items go")
        }
        seen.quietItems = refused > seen.itemRefusals ? 0 : seen.quietItems + 1
        seen.itemRefusals = refused

        let refusals = engine.frames.resources.memory.refusals
        if refusals > seen.frameRefusals, seen.quietFrames >= Self.quietLooks {
            events.full(
                "frames", "rows are refused", remedy: "drop a frame, or raise --frame-memory (frame_memlimit MEGABYTES)"
            )
        }
        seen.quietFrames = refusals > seen.frameRefusals ? 0 : seen.quietFrames + 1
        seen.frameRefusals = refusals
    }
}
