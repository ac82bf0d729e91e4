// Frames that were made for rows which then did not come.

import Coordination
import Engine

extension FrameService {
    private static let discardMilliseconds = 1_000

    /// Drops the frame if it still is the one that was made under this id, has no rows anywhere, and no load but this one
    /// is on its way into it. A node that can't be reached has no say: its rows, if there are any, are known here.
    static func discard(_ name: String, id: DefinitionID, besides load: UInt64, _ cluster: Cluster) async {
        await cluster.publish()  // and so learns of rows that others have taken
        guard isEmpty(id, cluster), cluster.frame(id)?.statistics.rows == 0 else { return }
        let argument = Value.object([
            "name": .string(name), "id": id.value, "besides": .int(Int64(bitPattern: load)),
        ])
        for node in cluster.otherNodes {
            let request = PeerRequest.control(verb: .frameStatistics, argument: argument)
            let reply = await cluster.send(
                request, to: node, deadline: cluster.environment.deadline(afterMilliseconds: discardMilliseconds))
            guard let answer = try? Router.value(of: reply).get() else { continue }
            if answer["rows"] != .int(0) || answer["loads"] != .int(0) { return }
        }
        guard isEmpty(id, cluster) else { return }
        cluster.changeRegistry { _ = $0.dropFrame(id) }
        await cluster.publish()
    }

    private static func isEmpty(_ id: DefinitionID, _ cluster: Cluster) -> Bool {
        cluster.currentRegistry().frame(id)?.acknowledged.expectedRows == 0
    }
}
