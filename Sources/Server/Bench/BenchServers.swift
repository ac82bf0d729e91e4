// The servers that are measured side by side, each a child process on a port of its own.

import Engine
import Gather
import NIOCore
import NIOPosix

struct BenchServer: Sendable {
    enum Kind: String, CaseIterable, Sendable {
        case cacheismo, memcached, redis
        /// Three nodes of cacheismo, asked through the first of them.
        case cluster
        /// nutcracker in front of three memcached.
        case twemproxy

        /// Whether it knows what a method of an object, or a script in its place, is.
        var hasMethods: Bool { self != .memcached && self != .twemproxy }
    }

    /// Ports that one server may take: its own first, then those of what stands behind it.
    static let portsMax = 5

    let kind: Kind
    let address: HostPort
    /// All that an operation may cost processor time in.
    let processes: [ChildProcess]
    /// What twemproxy reads its settings from, for as long as it runs.
    private let settings: TemporaryFile?

    var wire: BenchWorkload.Wire { kind == .redis ? .redis : .memcached }

    func stop() {
        for process in processes { process.terminate() }
        for process in processes { process.stop() }
    }

    /// Nil where the server is not installed.
    static func start(_ kind: Kind, port: Int, memoryMegabytes: Int, threads: Int) async throws -> BenchServer? {
        let size = Size(threads: threads, memoryMegabytes: memoryMegabytes)
        let settings = kind == .twemproxy ? try TemporaryFile(twemproxySettings(port)) : nil
        guard let processes = try processes(of: kind, port: port, size, settings) else { return nil }
        let address = HostPort(host: "127.0.0.1", port: port)
        let server = BenchServer(kind: kind, address: address, processes: processes, settings: settings)
        do { try await server.waitUntilUp() } catch {
            server.stop()
            throw error
        }
        return server
    }

    private struct Size {
        let threads: Int
        let memoryMegabytes: Int
    }

    private static func processes(
        of kind: Kind, port: Int, _ size: Size, _ settings: TemporaryFile?
    ) throws(Failure) -> [ChildProcess]? {
        switch kind {
        case .cacheismo: [try node(port, size)]
        case .memcached: try memcached(port, size).map { [$0] }
        case .redis: try redis(port, size).map { [$0] }
        case .cluster: try cluster(port, size)
        case .twemproxy: try twemproxy(port, size, settings)
        }
    }

    private static func node(_ port: Int, _ size: Size, peers: [String] = []) throws(Failure) -> ChildProcess {
        try ChildProcess(
            arguments: [
                "serve", "--port", "\(port)", "--threads", "\(size.threads)", "--memory", "\(size.memoryMegabytes)",
                "--max-item-size", "8m", "--exit-on-stdin-close",
            ] + peers)
    }

    private static func memcached(_ port: Int, _ size: Size) throws(Failure) -> ChildProcess? {
        try installed(
            "memcached",
            [
                "-p", "\(port)", "-l", "127.0.0.1", "-t", "\(size.threads)", "-m", "\(size.memoryMegabytes)", "-I",
                "8m",
                "-U", "0", "-u", "nobody",
            ])
    }

    private static func redis(_ port: Int, _ size: Size) throws(Failure) -> ChildProcess? {
        try installed(
            "redis-server",
            [
                "--port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--maxmemory",
                "\(size.memoryMegabytes)mb",
            ])
    }

    /// Nil where the program is not there.
    private static func installed(_ program: String, _ arguments: [String]) throws(Failure) -> ChildProcess? {
        try find(program).map { path throws(Failure) in try ChildProcess(program: path, arguments: arguments) }
    }

    private static let nodes = 3

    private static func cluster(_ port: Int, _ size: Size) throws(Failure) -> [ChildProcess]? {
        let addresses = (0..<nodes).map { HostPort(host: "127.0.0.1", port: port + $0) }
        let peers = DemoCluster.peers(at: addresses)
        return try started(nodes) { (index) throws(Failure) in
            try node(port + index, size, peers: ["--name", "n\(index + 1)", "--peers", peers])
        }
    }

    private static func twemproxy(
        _ port: Int, _ size: Size, _ settings: TemporaryFile?
    ) throws(Failure) -> [ChildProcess]? {
        guard let settings, find("nutcracker") != nil, find("memcached") != nil else { return nil }
        return try started(nodes + 1) { (index) throws(Failure) in
            if index < nodes, let memcached = try memcached(port + 1 + index, size) { return memcached }
            return try installed("nutcracker", ["-c", settings.path, "-a", "127.0.0.1", "-s", "\(port + nodes + 1)"])
        }
    }

    /// The proxy on `port`, its servers on the ports behind it. One connection to each of them is what it makes unless told.
    private static func twemproxySettings(_ port: Int) -> String {
        """
        bench:
          listen: 127.0.0.1:\(port)
          hash: fnv1a_64
          distribution: ketama
          timeout: 5000
          servers:

        """ + (1...nodes).map { "   - 127.0.0.1:\(port + $0):1\n" }.joined()
    }

    /// All of them, or none.
    private static func started(
        _ count: Int, _ start: (Int) throws(Failure) -> ChildProcess?
    ) throws(Failure) -> [ChildProcess]? {
        var processes: [ChildProcess] = []
        do throws(Failure) {
            for index in 0..<count { if let process = try start(index) { processes.append(process) } }
            return processes
        } catch {
            for process in processes { process.stop() }
            throw error
        }
    }

    private static func find(_ program: String) -> String? {
        ["/usr/bin", "/usr/local/bin", "/usr/sbin"].map { "\($0)/\(program)" }.first { (try? OpenFile($0)) != nil }
    }

    private func waitUntilUp() async throws {
        let deadline = SystemEnvironment().deadline(afterMilliseconds: 10_000)
        while true {
            do {
                let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                    .connect(host: address.host, port: address.port).get()
                try await channel.close()
                // Somebody else's server on the port would answer as well, while ours has ended.
                try await Task.sleep(for: .milliseconds(50))
                guard processes.allSatisfy(\.isRunning) else {
                    throw Failure(
                        .unreachable,
                        "port \(address.port), or one of the next \(Self.portsMax - 1), is in use; give others with --port"
                    )
                }
                return
            } catch let error as Failure {
                throw error
            } catch {
                guard !SystemEnvironment().hasPassed(deadline), processes.allSatisfy(\.isRunning) else {
                    throw Failure(.unreachable, "\(kind.rawValue) did not start on port \(address.port)")
                }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
    }

    /// redis: loads a script and answers its SHA1.
    func loadScript(_ text: String) async throws -> String {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        let reply = loop.makePromise(of: String.self)
        let channel = try await ClientBootstrap(group: loop)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(OneReply(reply))
                }
            }
            .connect(host: address.host, port: address.port).get()
        let request = "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$\(text.utf8.count)\r\n\(text)\r\n"
        try await channel.writeAndFlush(ByteBuffer(string: request))
        let lines = try await reply.futureResult.get().split(separator: "\r\n")
        try await channel.close()
        guard lines.count == 2, lines[0] == "$40" else {
            throw Failure(.scriptError, "redis: \(lines.joined(separator: " "))")
        }
        return String(lines[1])
    }

    private final class OneReply: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let reply: EventLoopPromise<String>
        init(_ reply: EventLoopPromise<String>) { self.reply = reply }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            reply.succeed(String(buffer: unwrapInboundIn(data)))
        }
        func channelInactive(context: ChannelHandlerContext) { reply.fail(ChannelError.eof) }
    }
}
