// A node as a service: listens, keeps in step with its peers, and ends gracefully.

import Dispatch
import Engine
import Gather
import Logging
import NIOPosix
import ServiceLifecycle
import Glibc

struct ServingNode: Service, CustomStringConvertible {
    let node: ClusterNode
    let loops: [ServingLoop]
    let listener: MemcachedListener<Router>
    private let http: HTTPListener?
    private let configuration: SessionConfiguration
    let logger: Logger
    /// Ends when standard input does: for a node that must not outlive the process that started it.
    let endsWithStandardInput: Bool
    /// Loaded again whenever they change; nil where there are none.
    let scripts: ScriptFiles?
    /// Awaits word of how far the node is; nil where nobody does.
    let notifier: ServiceNotifier?
    private let shutdownRequest: AsyncStream<Void>
    private let requestShutdown: AsyncStream<Void>.Continuation

    /// `loops` serve clients, and carry what those ask of other nodes; `group` carries what else nodes say to each other.
    init(
        node: ClusterNode, group: MultiThreadedEventLoopGroup, loops: [ServingLoop], http: HTTPConfiguration? = nil,
        configuration: MemcachedListenerConfiguration, logger: Logger, endsWithStandardInput: Bool,
        scripts: ScriptFiles?, notifier: ServiceNotifier? = nil
    ) {
        self.node = node
        self.logger = logger
        self.endsWithStandardInput = endsWithStandardInput
        self.scripts = scripts
        self.notifier = notifier
        let (stream, continuation) = AsyncStream<Void>.makeStream()
        shutdownRequest = stream
        requestShutdown = continuation
        self.loops = loops
        self.configuration = configuration.session
        listener = MemcachedListener(
            configuration, router: node.router, loops: loops,
            links: { node.cluster.links(forLoop: $0) },
            upgrade: PeerAdmission.upgrade(to: node, group: group),
            shutdown: { continuation.yield() })
        let figures = NodeFigures(node: node, statistics: listener.statistics, configuration: configuration.session)
        // Other nodes ask for them, whether this one answers HTTP or not.
        node.reports.setFigures { figures() }
        self.http = http.map {
            Self.makeHTTP($0, node, figures, group, logger)
        }
    }

    private static func makeHTTP(
        _ configuration: HTTPConfiguration, _ node: ClusterNode, _ figures: NodeFigures,
        _ group: MultiThreadedEventLoopGroup, _ logger: Logger
    ) -> HTTPListener {
        let guarding = HTTPGuard(
            address: configuration.address.host, names: configuration.names, origins: configuration.origins)
        let service = HTTPService(
            node: node, guarding: guarding, rowsBytesMax: configuration.rowsBytesMax, figures: figures)
        return HTTPListener(configuration, service: service, group: group, logger: logger)
    }

    var description: String { "node \(node.cluster.selfName)" }

    /// Listens; throws when a port is taken. Before `run`, so that a failure ends the command in one line.
    func start() async throws(Failure) {
        do throws(ListenFailure) { try listener.start() } catch {
            throw Failure(.unreachable, error.description)
        }
        let place = try await http?.start()
        if let place { logger.info("\(node.cluster.selfName) answers HTTP on \(place)") }
        logger.info("\(node.cluster.selfName) listens on \(listener.placeNames.joined(separator: ", "))")
        let events = LogEvents(logger)
        for script in node.cluster.engine.catalog.statuses { events.loaded(script) }
        // On a terminal the notice says it.
        guard StandardError.isTerminal else {
            return events.started(node, configuration, places: listener.placeNames, http: place)
        }
        let notice = StartNotice(
            node: "cacheismo \(CacheismoVersion.product)", addresses: listener.addressNames,
            sockets: listener.socketNames, http: place,
            isAlone: CommandLineBytes.arguments.isEmpty)
        StandardError.write(notice.text + "\n")
    }

    /// Ends `run`, also before it has begun.
    func end() { requestShutdown.yield() }

    /// Reads the users again with `readUsers`, and takes the scripts as they are now, changed or not.
    func readAgain(_ readUsers: () -> Void) {
        tell(.reloading)
        readUsers()
        guard let scripts else { return tellReady() }
        let engine = node.cluster.engine
        let watcher = ScriptWatcher(files: scripts, engine: engine, logger: logger)
        engine.compute.submit {
            watcher.reload()
            tellReady()
        }
    }

    private func tellReady() {
        tell(.ready(status: "serves on \(listener.placeNames.joined(separator: ", "))"))
    }

    private func tell(_ state: ServiceNotifier.State) {
        do throws(Failure) { try notifier?.tell(state) } catch { logger.warning("\(error.message)") }
    }

    func run() async {
        // It listens, and its scripts are loaded: once it has heard from its peers, or waited for them long enough, it is ready.
        let becomingReady = Task {
            await node.cluster.settle()
            if !node.isEnding { tellReady() }
        }
        let synchronizing = Task { await node.synchronizeForever() }
        let watchingNode = NodeWatch(node: node, statistics: listener.statistics, logger: logger).start()
        let watching = scripts.map { ScriptWatcher(files: $0, engine: node.cluster.engine, logger: logger).start() }
        if endsWithStandardInput { requestShutdownAtEndOfInput() }
        await withGracefulShutdownHandler {
            for await _ in shutdownRequest { return }
        } onGracefulShutdown: {
            requestShutdown.yield()
        }
        node.prepareToEnd()
        LogEvents(logger).ending(node)
        becomingReady.cancel()
        tell(.stopping)
        await drain()
        synchronizing.cancel()
        watchingNode.cancel()
        watching?.cancel()
        node.cluster.close()
    }

    /// Accepts no more, and answers what it was asked: memcached's clients, then those of HTTP, who are told meanwhile that it is
    /// no longer ready.
    private func drain() async {
        let end = ContinuousClock.now + .milliseconds(Self.drainMilliseconds)
        listener.stop()
        if !(await listener.finish(withinMilliseconds: Self.drainMilliseconds - Self.httpMilliseconds)) {
            logger.warning("some clients had not been answered, or did not take it: their connections are cut off")
        }
        let left = (end - ContinuousClock.now) / .milliseconds(1)
        await http?.stop(withinMilliseconds: max(Self.httpMilliseconds, Int(left)))
    }

    private static let drainMilliseconds = 5_000
    /// Of those, for HTTP at least.
    private static let httpMilliseconds = 1_000

    private func requestShutdownAtEndOfInput() {
        DispatchQueue.global().async {
            var byte: UInt8 = 0
            while read(STDIN_FILENO, &byte, 1) > 0 {}
            requestShutdown.yield()
        }
    }
}
