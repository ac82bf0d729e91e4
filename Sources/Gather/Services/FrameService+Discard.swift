// Frames that were made for rows which then did not come.

import Engine

extension FrameService {
    private static let discardMilliseconds = 1_000

    /// Drops the frame if it still is the one that was made under this id, has no rows anywhere, and no load but this one
    /// is on its way into it. A node that can't be reached has no say: its rows, if there are any, are known here.
    static func discard(_ name: String, id: UInt64, besides load: UInt64, _ cluster: Cluster) async {
        await cluster.publish()  // and so learns of rows that others have taken
        guard isEmpty(name, id, cluster), cluster.engine.frames.find(name)?.statistics.rows == 0 else { return }
        let argument = Value.object(["name": .string(name), "besides": .int(Int64(bitPattern: load))])
        for node in cluster.otherNodes {
            let request = PeerRequest.control(verb: .frameStatistics, argument: argument)
            let reply = await cluster.send(
                request, to: node, deadline: cluster.environment.deadline(afterMilliseconds: discardMilliseconds))
            guard let answer = try? Router.value(of: reply).get() else { continue }
            if answer["rows"] != .int(0) || answer["loads"] != .int(0) { return }
        }
        guard isEmpty(name, id, cluster) else { return }
        cluster.changeRegistry { registry in
            guard registry.frames[name]?.id == id else { return }
            registry.dropFrame(name, now: cluster.environment.unixMilliseconds)
        }
        await cluster.publish()
    }

    private static func isEmpty(_ name: String, _ id: UInt64, _ cluster: Cluster) -> Bool {
        guard let entry = cluster.currentRegistry().frames[name] else { return false }
        return entry.id == id && entry.acknowledged.expectedRows == 0
    }
}
