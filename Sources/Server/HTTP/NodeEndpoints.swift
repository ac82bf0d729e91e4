// `/v1/cluster`, `/v1/stats`, `/metrics`, the probes and the description: the nodes, and this one.

import Coordination
import Engine
import Gather
import HTTPTypes

struct NodeEndpoints: Sendable {
    private let node: ClusterNode
    private let figures: NodeFigures

    init(_ node: ClusterNode, _ figures: NodeFigures) {
        self.node = node
        self.figures = figures
    }

    private var cluster: Cluster { node.cluster }

    var all: [HTTPEndpoint] {
        [
            HTTPEndpoint(.get, "/v1/cluster", .lookAtCluster, isLong: true) { call throws(HTTPFailure) in
                let textIntegers = try call.wantsTextIntegers()
                return HTTPAnswer(json: await node.reports.clusterStatus().lossless(textIntegers: textIntegers))
            },
            HTTPEndpoint(.get, "/v1/stats", .lookAtCluster) { call throws(HTTPFailure) in
                let textIntegers = try call.wantsTextIntegers()
                return HTTPAnswer(json: node.reports.stats.lossless(textIntegers: textIntegers))
            },
            HTTPEndpoint(.get, "/metrics", .lookAtCluster, isLong: true) { _ throws(HTTPFailure) in
                HTTPAnswer(.ok, type: MetricsText.contentType, figures.metrics)
            },
            HTTPEndpoint(.get, "/health/live", .touchNothing) { _ throws(HTTPFailure) in
                HTTPAnswer(json: .object(["status": .string("ok")]))
            },
            HTTPEndpoint(.get, "/health/ready", .touchNothing) { _ throws(HTTPFailure) in try ready() },
            HTTPEndpoint(.get, "/v1/openapi.json", .lookAtCluster) { _ throws(HTTPFailure) in
                HTTPAnswer(.ok, type: HTTPAnswer.json, PackageResources.openapi_json)
            },
        ]
    }

    /// Once it has heard from the others, or waited for them long enough; and until it is about to end. Its scripts are loaded
    /// before it listens.
    private func ready() throws(HTTPFailure) -> HTTPAnswer {
        do throws(Failure) {
            guard !node.isEnding else {
                throw Failure(
                    .unreachable, "\(cluster.selfName) is about to end; ask another node",
                    about: .named(cluster.selfName))
            }
            try cluster.requireSettled(toFind: "whether all is there")
            return HTTPAnswer(json: .object(["status": .string("ok")]))
        } catch {
            throw HTTPFailure(error)
        }
    }
}
