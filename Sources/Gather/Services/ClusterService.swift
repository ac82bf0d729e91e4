// `cluster:status`: the nodes and their figures, as `GET /v1/cluster` tells of them.

package import Engine

package struct ClusterService: VirtualService {
    package let type = "cluster"
    private let reports: NodeReports

    package enum Method: String, ServiceMethod {
        case status

        package var signature: MethodSignature { MethodSignature() }

        package var action: ClientAction {
            switch self {
            case .status: .lookAtCluster
            }
        }
    }

    package init(_ reports: NodeReports) { self.reports = reports }

    package func perform(
        _ method: Method, _ call: ServiceCall, _ router: Router, completion: @escaping CallCompletion
    ) {
        switch method {
        case .status:
            router.cluster.environment.task { [reports] in completion(.success(await reports.clusterStatus())) }
        }
    }
}
