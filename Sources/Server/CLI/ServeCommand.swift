// `cacheismo serve`: one node, with the options that a memcached user types.

import ArgumentParser
import Coordination
import Dispatch
import Engine
import Gather
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Run a node (the default).")

    @Option(
        name: [.customShort("p", allowingJoined: true), .long],
        help: "TCP port; 0, with -s: none. (default: this node's in --peers, or 11211)")
    var port: Int?

    @Option(
        name: [.customShort("l", allowingJoined: true), .long], parsing: .singleValue,
        help: ArgumentHelp(
            "Address to listen on, may have a port of its own; several by commas, or by -l again. (default: 127.0.0.1)")
    )
    var listen: [String] = []

    @Option(
        name: [.customShort("m", allowingJoined: true), .long, .customLong("memory-limit")],
        help: "Memory for items and objects, in megabytes.")
    var memory = 64

    @Option(name: [.customShort("c", allowingJoined: true), .customLong("conn-limit")], help: "Connections at a time.")
    var connections = 1024

    @Option(name: [.customShort("t", allowingJoined: true), .long], help: "Threads that serve connections.")
    var threads = min(4, System.coreCount)

    @Option(
        name: [.customShort("I", allowingJoined: true), .customLong("max-item-size")],
        help: "Largest item, as in 1m, 512k or bytes. (default: 1m, or half of --memory where that is less)")
    var itemSize: ByteCount?

    @Option(
        name: [.customShort("U", allowingJoined: true), .customLong("udp-port")], help: "Only 0: UDP is not served.")
    var udpPort = 0

    @Option(
        name: [.customShort("s", allowingJoined: true), .customLong("unix-socket")],
        help: "Listen on this unix socket instead of TCP.")
    var unixSocket: String?

    @Option(
        name: [.customShort("a", allowingJoined: true), .customLong("unix-mask")],
        help: "Permissions of the unix socket, octal.")
    var unixMask = "700"

    @Option(
        name: [.customShort("b", allowingJoined: true), .customLong("listen-backlog")],
        help: "Connections that wait to be accepted.")
    var backlog = 1024

    @Flag(name: [.customShort("M"), .customLong("disable-evictions")], help: "Refuse writes when memory is full.")
    var disableEvictions = false

    @Flag(name: .customLong("no-compression"), help: "Keep all values as they are, also those that stay long.")
    var noCompression = false

    @Flag(name: [.customShort("F"), .customLong("disable-flush-all")], help: "Refuse flush_all.")
    var disableFlush = false

    @Flag(name: [.customShort("A"), .customLong("enable-shutdown")], help: "Allow the shutdown command.")
    var enableShutdown = false

    @Option(
        name: .customLong("idle-timeout"), help: "Close connections silent for this many seconds; 0 never.")
    var idleTimeout: Int?

    @Option(
        name: [.customShort("Y", allowingJoined: true), .customLong("auth-file")],
        help:
            "Clients say who they are, as one of this file's lines name:password[:role,…], all roles unless it says which; SIGHUP reads it and --scripts again.",
        completion: .file())
    var authFile: String?

    @Option(
        name: .customLong("open-roles"),
        help: ArgumentHelp(
            "Without -Y, what clients on other machines may do: some of read, write, flush, script, admin. Those on this machine may do everything. (default: read,write,flush)",
            valueName: "list"))
    var openRoles: Roles?

    @Option(
        name: [.customShort("D", allowingJoined: true)],
        help: "End of a key's prefix in stats detail, which counts from the start.")
    var prefixDelimiter: String?

    @Option(
        name: [.customShort("P", allowingJoined: true), .customLong("pidfile")],
        help: "Write the process id to this file.", completion: .file())
    var pidFile: String?

    @Option(
        name: [.customShort("u", allowingJoined: true), .customLong("user")],
        help: "Give up root for this user once the ports are open.")
    var user: String?

    @OptionGroup(title: "Where options come from")
    var start: StartOptions

    @OptionGroup(title: "The log")
    var log: LogOptions

    @OptionGroup(title: "HTTP")
    var http: HTTPOptions

    @OptionGroup(title: "memcached's options that mean little here")
    var compatibility: CompatibilityOptions

    @Flag(name: .customShort("V"), help: "Print the version.")
    var printsVersion = false

    @Flag(name: .shortAndLong, help: "Log more; twice for everything.")
    var verbose: Int

    @Option(help: "This node's name in --peers.")
    var name: String?

    @Option(help: "All nodes of the cluster, this one too: n1=host:port,n2=host:port,…")
    var peers: String?

    @Option(
        name: .customLong("cluster-secret"),
        help: ArgumentHelp(
            "What the nodes know each other by: this file's first line, 16 bytes or more, the same on all nodes.",
            valueName: "file"),
        completion: .file())
    var clusterSecret: String?

    @Flag(
        name: .customLong("insecure-peers"),
        help: "Take nodes on other machines at their word: whoever reaches the port can be one.")
    var insecurePeers = false

    @Option(
        help: ArgumentHelp("Object types of your own: the Lua files of this folder.", valueName: "folder"),
        completion: .directory)
    var scripts: String?

    @Flag(name: .customLong("no-virtual-keys"), help: "Take every key as a plain key.")
    var noVirtualKeys = false

    @Option(name: .customLong("frame-memory"), help: "Memory for frames, in megabytes.")
    var frameMemory = 1024

    @Option(help: "Parts of this node that run scripts side by side.")
    var shards = System.coreCount

    @Flag(name: .customLong("exit-on-stdin-close"), help: .hidden)
    var exitOnStdinClose = false

    func validate() throws {
        if printsVersion { throw CleanExit.message(CacheismoVersion.product) }
        func check(_ value: Int, _ range: ClosedRange<Int>, _ option: String) throws {
            guard range.contains(value) else {
                throw ValidationError("\(option) \(value): from \(range.lowerBound) to \(range.upperBound)")
            }
        }
        if let port { try check(port, 0...65_535, "--port") }
        try check(memory, 1...1 << 24, "--memory")
        try check(frameMemory, 1...1 << 24, "--frame-memory")
        try check(connections, 1...1_000_000, "--conn-limit")
        try check(threads, 1...256, "--threads")
        try check(shards, 1...256, "--shards")
        if let itemSize {
            try check(itemSize.bytes, 1_024...min(1 << 30, memory << 19), "with --memory \(memory), --max-item-size")
        }
        guard let mask = UInt32(unixMask, radix: 8), mask <= 0o777 else {
            throw ValidationError("--unix-mask \(unixMask): an octal number from 0 to 777")
        }
        guard unixSocket != nil || !addresses.isEmpty else {
            throw ValidationError("--listen needs an address, as in 127.0.0.1 or 0.0.0.0")
        }
        if let idleTimeout { try check(idleTimeout, 0...1 << 31, "--idle-timeout") }
        guard prefixDelimiter == nil || prefixDelimiter?.utf8.count == 1 else {
            throw ValidationError("-D takes one character")
        }
        guard port != 0 || unixSocket != nil else {
            throw ValidationError("--port 0 is no TCP, as in memcached: give a unix socket with -s, or a port")
        }
        guard udpPort == 0 else { throw ValidationError("--udp-port \(udpPort): UDP is not served, only 0 is taken") }
        guard authFile == nil || openRoles == nil else {
            throw ValidationError("-Y and --open-roles don't go together: with -Y each name has roles of its own")
        }
        guard authFile == nil || peers == nil || clusterSecret != nil else {
            throw ValidationError(
                "-Y and --peers want --cluster-secret FILE too: without it whoever calls itself a node needs no password"
            )
        }
        guard (name == nil) == (peers == nil) else {
            throw ValidationError("--name and --peers go together: --name n1 --peers n1=127.0.0.1:11211,n2=…")
        }
    }

    func run() async throws {
        ProcessSignals.ignoreWhatEndsNothing()
        ProcessMemory.limitHeaps()
        let logger = log.makeLogger(verbose: verbose)
        for line in OptionOrigins.notes + compatibility.passedOver { logger.warning("\(line)") }
        let topology = try makeTopology()
        let security = try makeSecurity()
        try security.check(topology)
        let port = port ?? topology.selfIndex.map { topology.nodes[$0].port } ?? Self.portDefault
        if peers != nil, let index = topology.selfIndex, topology.nodes[index].port != port {
            logger.warning(
                "the port is \(port), but the peers will look for this node at \(topology.nodes[index].address)")
        }
        var http = try http.configuration(asks: authFile != nil)
        let connections = makeRoomForConnections(nodes: topology.nodes.count, http, logger)
        http?.connectionsMax = connections
        let hints = StartHints.all(itemMegabytes: memory, frameMegabytes: frameMemory, backlog: backlog) {
            (try? FilePath.read($0)).map { String(decoding: $0, as: UTF8.self) }
        }
        for line in hints { logger.warning("\(line)") }
        // The process's own group: its loops end with it, as what is still at work at the end may yet answer to them.
        NIOSingletons.groupLoopCountSuggestion = topology.isAlone ? 1 : threads
        let group = MultiThreadedEventLoopGroup.singleton
        let loops = group.makeIterator().map { NIOPeerLoop($0) }
        let serving = (0..<threads).map { ServingLoop(index: $0) }
        let engine = try makeEngine(topology, logger)
        let users = try authFile.map { path throws(Failure) in try AuthenticationFile(path, logger: logger) }
        let identity = try user.flatMap { name throws(Failure) in try ProcessIdentity(user: name) }
        let cluster = Cluster(
            engine: engine, topology: topology, loops: loops, serving: serving, security: security, logger: logger)
        var access = ClientAccess(
            allowsVirtualKeys: !noVirtualKeys, allowsFlush: !disableFlush, openRoles: openRoles ?? .asMemcached,
            desk: LoginDesk(in: cluster.environment) { logger.warning("\($0)") })
        if let credentials = users?.credentials {
            access.rolesOfUser = { credentials.roles(login: $0, password: $1) }
        }
        let node = ClusterNode(
            cluster: cluster, answersVirtualKeys: !noVirtualKeys, access: access, version: CacheismoVersion.product)
        let service = ServingNode(
            node: node, group: group, loops: serving, http: http,
            configuration: makeListenerConfiguration(port: port, connections: connections, users?.credentials, access),
            logger: logger, endsWithStandardInput: exitOnStdinClose,
            scripts: scripts.map { ScriptFiles(directory: $0) }, notifier: try OptionOrigins.serviceNotifier())
        let signals = await ProcessSignals(
            end: { service.end() },
            readAgain: { service.readAgain { users?.readAgain() } })
        defer { withExtendedLifetime(signals) {} }
        let pidFile = try await open(service, as: identity)
        defer { pidFile?.remove() }
        // Once it listens: what keeps it from that is told in one line.
        if users == nil, let line = openness(http) { logger.warning("\(line)") }
        let timer = ProcessMemory.keepCodeSmall()
        defer { timer.cancel() }
        try await ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [.init(service: service, successTerminationBehavior: .gracefullyShutdownGroup)],
                logger: logger)
        ).run()
    }

    /// Writes the pid file, listens, then gives up root: who is answered finds the file written. Leaves nothing behind where
    /// one of them fails.
    private func open(_ service: ServingNode, as identity: ProcessIdentity?) async throws -> PidFile? {
        // First of all, as it tells whether another server is there already.
        let pidFile = try pidFile.map { path throws(Failure) in try PidFile(path) }
        do {
            try pidFile?.write()
            try await service.start()
            guard let identity else { return pidFile }
            pidFile?.give(to: identity.user, identity.group)
            service.listener.giveFiles(to: identity.user, identity.group)
            try identity.assume()
        } catch {
            pidFile?.abandon()
            service.listener.stop()
            throw error
        }
        return pidFile
    }

    private static let portDefault = 11_211

    private var addresses: [String] {
        listen.isEmpty ? ["127.0.0.1"] : listen.flatMap { $0.split(separator: ",").map(String.init) }
    }

    /// What is said of a node that clients on other machines reach and that asks nobody for a password; nil where none do.
    private func openness(_ http: HTTPConfiguration?) -> String? {
        var places = unixSocket == nil && port != 0 ? addresses : []
        if let http { places.append(http.address.host) }
        let open = places.filter { !PeerSecurity.isLoopback(host: HostPort($0, portDefault: 0)?.host ?? $0) }
        guard !open.isEmpty else { return nil }
        return "no passwords (-Y): whoever reaches \(open.joined(separator: ", ")) has the roles "
            + "\((openRoles ?? .asMemcached).description); --open-roles says which"
    }

    private var itemBytesMax: Int { itemSize?.bytes ?? min(1 << 20, memory << 19) }

    /// How many connections there may be: fewer than asked for where the system allows fewer open files.
    private func makeRoomForConnections(nodes: Int, _ http: HTTPConfiguration?, _ logger: Logger) -> Int {
        // As many more may come over HTTP.
        let reserve = OpenFiles.reserve(threads: threads, nodes: nodes) + (http == nil ? 0 : connections)
        let possible = OpenFiles.makeRoom(connections: connections, reserve: reserve)
        if possible < connections {
            logger.warning(
                """
                -c \(connections) needs \(connections + reserve) open files, and the limit can't be raised to that: \
                \(possible) connections at a time. Raise it (ulimit -Hn, or LimitNOFILE of systemd), or ask for fewer.
                """)
        }
        return possible
    }

    func makeTopology() throws(Failure) -> Topology {
        guard let peers, let name else {
            let port = port ?? Self.portDefault
            return Topology.alone(name: "node", host: "127.0.0.1", port: port == 0 ? Self.portDefault : port)
        }
        return try Topology(peers: peers, selfName: name)
    }

    /// What nodes know each other by. A file that says nothing is refused: it would be no secret.
    func makeSecurity() throws(Failure) -> PeerSecurity {
        guard let clusterSecret else { return PeerSecurity(trustsAnyAddress: insecurePeers) }
        guard let secret = ClusterSecret(file: try FilePath.read(clusterSecret)) else {
            throw Failure(
                .wrongType,
                "--cluster-secret \(clusterSecret): the first line has fewer than \(ClusterSecret.bytesMin) bytes; "
                    + "make one with: head -c 24 /dev/urandom | base64 > \(clusterSecret)")
        }
        return PeerSecurity(secret: secret, trustsAnyAddress: insecurePeers)
    }

    private func makeEngine(_ topology: Topology, _ logger: Logger) throws(Failure) -> Engine {
        var configuration = EngineConfiguration(
            shards: shards, computeThreads: System.coreCount, memoryBytes: memory << 20,
            itemBytesMax: itemBytesMax, evicts: !disableEvictions, compresses: !noCompression,
            frameMemoryBytes: frameMemory << 20)
        configuration.servingThreads = threads
        configuration.placement = topology.placement
        if let scripts {
            configuration.scripts = try ScriptFiles(directory: scripts).read()
            configuration.objectTypes = try ObjectTypes(adding: configuration.scripts)
        }
        configuration.scriptLog = { logger.info("script: \($0)") }
        configuration.slow = SlowLog(thresholdMilliseconds: log.slowMilliseconds) { LogEvents(logger).slow($0) }
        configuration.errors = ScriptErrors { LogEvents(logger).failed($0) }
        return Engine(configuration)
    }

    private func makeListenerConfiguration(
        port: Int, connections: Int, _ credentials: Credentials?, _ access: ClientAccess
    ) -> MemcachedListenerConfiguration {
        var configuration = MemcachedListenerConfiguration()
        configuration.addresses = unixSocket == nil && port != 0 ? addresses : []
        configuration.port = port
        configuration.unixSocketPath = unixSocket
        configuration.unixSocketMode = UInt32(unixMask, radix: 8) ?? 0o700
        configuration.connectionsMax = connections
        configuration.backlog = backlog
        configuration.session.itemBytesMax = itemBytesMax
        configuration.session.idleTimeoutSeconds = idleTimeout ?? compatibility.idleTimeoutSeconds ?? 0
        configuration.session.bufferBytesMax =
            compatibility.bufferMegabytes.map { $0 << 20 } ?? min(max((memory << 17) * 3, 16 << 20), 256 << 20)
        configuration.session.allowsCrawls = compatibility.crawls
        if let delimiter = prefixDelimiter?.utf8.first {
            configuration.session.prefixDelimiter = delimiter
            configuration.session.countsPrefixes = true
        }
        configuration.session.unixSocketPath = unixSocket
        configuration.session.unixSocketMode = configuration.unixSocketMode
        configuration.session.backlog = backlog
        configuration.session.allowsVirtualKeys = !noVirtualKeys
        configuration.session.allowsFlush = !disableFlush
        configuration.session.allowsShutdown = enableShutdown
        configuration.session.allowsWatch = !compatibility.disableWatch
        configuration.session.allowsDump = !compatibility.disableDumping
        configuration.session.hidesUniques = compatibility.disableCas
        configuration.session.wireProtocol = WireProtocol(option: compatibility.wireProtocol) ?? .either
        configuration.session.credentials = credentials
        configuration.session.openRoles = access.openRoles
        configuration.session.desk = access.desk
        configuration.session.verbosity = verbose
        configuration.session.memoryBytes = memory << 20
        configuration.session.connectionsMax = connections
        configuration.session.port = port
        configuration.session.threads = threads
        configuration.session.evicts = !disableEvictions
        configuration.session.address = addresses.joined(separator: ",")
        return configuration
    }
}

/// A size as memcached takes it: `1m`, `512k`, or bytes.
struct ByteCount: ExpressibleByArgument, CustomStringConvertible {
    let bytes: Int

    init(bytes: Int) { self.bytes = bytes }

    init?(argument: String) {
        let unit = argument.last?.lowercased() ?? ""
        let shift = ["k": 10, "m": 20, "g": 30][unit] ?? 0
        guard let count = Int(shift == 0 ? argument[...] : argument.dropLast()), count > 0, count < 1 << 30 else {
            return nil
        }
        bytes = count << shift
    }

    var description: String { bytes % (1 << 20) == 0 ? "\(bytes >> 20)m" : "\(bytes)" }
    var defaultValueDescription: String { description }
}

extension Roles: ExpressibleByArgument {
    package init?(argument: String) {
        guard let roles = try? Roles(list: argument) else { return nil }
        self = roles
    }
}
