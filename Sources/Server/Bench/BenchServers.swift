// The servers that are measured side by side, each a child process on a port of its own.

import Engine
import NIOCore
import NIOPosix

struct BenchServer: Sendable {
    enum Kind: String, CaseIterable, Sendable { case cacheismo, memcached, redis }

    let kind: Kind
    let address: ServerAddress
    let process: ChildProcess

    var wire: BenchWorkload.Wire { kind == .redis ? .redis : .memcached }

    /// Nil where the server is not installed.
    static func start(_ kind: Kind, port: Int, memoryMegabytes: Int, threads: Int) async throws -> BenchServer? {
        let memory = "\(memoryMegabytes)"
        let port = "\(port)"
        let process: ChildProcess
        switch kind {
        case .cacheismo:
            process = try ChildProcess(arguments: [
                "serve", "--port", port, "--threads", "\(threads)", "--memory", memory, "--max-item-size", "8m",
                "--exit-on-stdin-close",
            ])
        case .memcached:
            guard let program = find("memcached") else { return nil }
            process = try ChildProcess(
                program: program,
                arguments: [
                    "-p", port, "-l", "127.0.0.1", "-t", "\(threads)", "-m", memory, "-I", "8m", "-U", "0", "-u",
                    "nobody",
                ])
        case .redis:
            guard let program = find("redis-server") else { return nil }
            process = try ChildProcess(
                program: program,
                arguments: [
                    "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--maxmemory",
                    "\(memory)mb",
                ])
        }
        let server = BenchServer(
            kind: kind, address: ServerAddress(host: "127.0.0.1", port: Int(port)!), process: process)
        try await server.waitUntilUp()
        return server
    }

    private static func find(_ program: String) -> String? {
        ["/usr/bin", "/usr/local/bin", "/usr/sbin"].map { "\($0)/\(program)" }.first { (try? OpenFile($0)) != nil }
    }

    private func waitUntilUp() async throws {
        let deadline = Deadline.after(milliseconds: 10_000)
        while true {
            do {
                let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                    .connect(host: address.host, port: address.port).get()
                try await channel.close()
                // Somebody else's server on the port would answer as well, while ours has ended.
                try await Task.sleep(for: .milliseconds(50))
                guard process.isRunning else {
                    throw Failure(.unreachable, "port \(address.port) is in use; give others with --port")
                }
                return
            } catch let error as Failure {
                throw error
            } catch {
                guard !deadline.hasPassed, process.isRunning else {
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
