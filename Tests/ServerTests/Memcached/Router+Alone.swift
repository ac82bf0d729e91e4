// A router for tests that need no other node and no service.

import Engine
import Gather
import Logging

extension Router {
    convenience init(
        engine: Engine, services: (NodeReports) -> [any VirtualService] = { _ in [] }, answersVirtualKeys: Bool = true
    ) {
        let topology = Topology.alone(name: "node", host: "127.0.0.1", port: 11211)
        let cluster = Cluster(engine: engine, topology: topology, loops: [], logger: Logger(label: "test"))
        self.init(cluster: cluster, services: services(NodeReports(cluster)), answersVirtualKeys: answersVirtualKeys)
    }
}
