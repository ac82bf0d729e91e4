// What a node answers over HTTP, without a socket: requests in, answers out.

import Engine
package import Gather
import HTTPTypes

/// Over the node's own router, services and jobs: nothing is decided here that memcached's protocol decides too, but in which
/// words it is said.
package final class HTTPService: Sendable {
    private let node: ClusterNode
    private let guarding: HTTPGuard
    private let access: HTTPAccess
    private let routes: HTTPRoutes
    /// Of endpoints whose answers take no task, with their slashes.
    private let shortPaths: [[UInt8]]

    /// - Parameters:
    ///   - rowsBytesMax: of a body of rows.
    ///   - figures: what is counted, here too.
    package init(
        node: ClusterNode, guarding: HTTPGuard, rowsBytesMax: Int = 64 << 20,
        figures: NodeFigures
    ) {
        self.node = node
        self.guarding = guarding
        access = HTTPAccess(node.access)
        let counters = HTTPCounters(figures.statistics, node.router)
        let objects = ObjectEndpoints(node.router, counters)
        let items = ItemEndpoints(node.router, counters)
        let frames = FrameEndpoints(node, rowsBytesMax: rowsBytesMax)
        let jobs = JobEndpoints(node, RunFlights(node))
        let runs = RunEndpoints(node)
        let nodes = NodeEndpoints(node, figures)
        // Without virtual keys there are no jobs and frames either, as for memcached's clients.
        let virtual = node.answersVirtualKeys ? jobs.all + runs.all + frames.all : []
        routes = HTTPRoutes(endpoints: objects.all + virtual + items.all + nodes.all + PageFiles.all)
        shortPaths = routes.endpoints.filter { $0.answerShortly != nil }.map { endpoint in
            endpoint.path.reduce(into: []) { $0 += [UInt8(ascii: "/")] + ($1 ?? []) }
        }
    }

    typealias Admitted = Result<(HTTPEndpoint, HTTPCall), HTTPFailure>

    /// The endpoint of a request, and the request as it takes it; or the answer where there is none, or the request may not come. A
    /// login is counted, and after several wrong ones the answer is waited for.
    func admit(_ call: HTTPCall) async -> Admitted {
        let (result, login) = examine(call)
        let milliseconds = access.count(login, of: call)
        if milliseconds > 0 { await node.cluster.environment.sleep(milliseconds: milliseconds) }
        return result
    }

    private func examine(_ call: HTTPCall) -> (Admitted, HTTPAccess.Login) {
        var login = HTTPAccess.Login.none
        do throws(HTTPFailure) {
            try guarding.check(call)
            // Who may not be told anything is not told which paths there are either.
            let found = Result { () throws(HTTPFailure) in try routes.find(call) }
            let finding = access.find(call)
            login = finding.login
            try access.check(call, finding, for: (try? found.get())?.0.action ?? .lookAtCluster)
            var (endpoint, call) = try found.get()
            call.roles = finding.roles
            try endpoint.check(call)
            return (.success((endpoint, call)), login)
        } catch {
            return (.failure(error), login)
        }
    }

    /// Whether a GET of this target may be answered without a task.
    func isShort(_ target: String) -> Bool {
        let path = target.utf8.prefix { $0 != UInt8(ascii: "?") }
        return shortPaths.contains { path.elementsEqual($0) }
    }

    /// Who answers such a call, and the call as it is taken; nil for those that may not come, and those that have to wait first.
    func admitShort(_ call: HTTPCall) -> (HTTPEndpoint.ShortHandler, HTTPCall)? {
        let (result, login) = examine(call)
        guard case .success((let endpoint, let admitted)) = result, !access.maySlow(call, login) else { return nil }
        return endpoint.answerShortly.map { ($0, admitted) }
    }

    /// The whole way, for a request whose body is there.
    package func answer(_ call: HTTPCall) async -> HTTPAnswer {
        if let early = preflight(call) { return early }
        switch await admit(call) {
        case .failure(let failure): return finished(failure.answer, call)
        case .success(let (endpoint, call)): return await answer(call, endpoint)
        }
    }

    func answer(_ call: HTTPCall, _ endpoint: HTTPEndpoint) async -> HTTPAnswer {
        guard call.body.count <= endpoint.bodyMax else {
            return finished(Self.tooLarge(endpoint.bodyMax).answer, call)
        }
        guard endpoint.isLong else { return await perform(call, endpoint) }
        return await withTaskExecutorPreference(node.cluster.engine.compute) { await perform(call, endpoint) }
    }

    private func perform(_ call: HTTPCall, _ endpoint: HTTPEndpoint) async -> HTTPAnswer {
        do throws(HTTPFailure) {
            return finished(try await endpoint.answer(call), call)
        } catch {
            return finished(error.answer, call)
        }
    }

    /// To a browser that asks before it asks; nil for all others.
    func preflight(_ call: HTTPCall) -> HTTPAnswer? { guarding.preflight(call).map { finished($0, call) } }

    func finished(_ answer: HTTPAnswer, _ call: HTTPCall) -> HTTPAnswer {
        guard call.fields[.origin] != nil else { return answer }
        var answer = answer
        for field in guarding.fields(for: call) { answer.fields.append(field) }
        return answer
    }

    static func tooLarge(_ bytesMax: Int) -> HTTPFailure {
        HTTPFailure(.contentTooLarge, "too_large", "the body has more than \(bytesMax) bytes: send it in parts")
    }
}

/// Waits for what a completion brings.
func awaiting<R: Sendable>(_ begin: (@escaping @Sendable (R) -> Void) -> Void) async -> R {
    await withCheckedContinuation { continuation in begin { continuation.resume(returning: $0) } }
}

/// By another name, as results have a `Failure` of their own.
typealias ClusterFailure = Failure

extension Result where Failure == ClusterFailure {
    /// The value, or the failure with its status.
    func orHTTP() throws(HTTPFailure) -> Success {
        switch self {
        case .success(let value): return value
        case .failure(let failure): throw HTTPFailure(failure)
        }
    }
}
