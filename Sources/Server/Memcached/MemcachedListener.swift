// The memcached port: binds the addresses, admits connections up to a limit, and gives each its handler.

import Engine
package import Gather
package import NIOCore
import NIOPosix
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

package struct MemcachedListenerConfiguration: Sendable {
    /// Where to listen, `host` or `host:port`; none when only a unix socket is wanted.
    package var addresses = ["127.0.0.1"]
    /// Where an address names no port of its own. 0 lets the system choose: see `MemcachedListener.ports`.
    package var port = 11211
    package var unixSocketPath: String?
    /// Permissions of the unix socket (memcached's -a).
    package var unixSocketMode: UInt32 = 0o700
    package var connectionsMax = 1024
    package var backlog = 1024
    package var session = SessionConfiguration()

    package init() {}
}

/// Why a listener could not start: one line for people.
package struct ListenFailure: Error, CustomStringConvertible {
    package let description: String
}

package final class MemcachedListener<Routing: CommandRouter>: Sendable {
    package typealias LinksOfLoop = @Sendable (any EventLoop) -> PeerLinks?

    private let configuration: MemcachedListenerConfiguration
    private let router: Routing
    private let group: any EventLoopGroup
    private let links: LinksOfLoop
    private let upgrade: PeerUpgrade?
    private let shutdown: (@Sendable () -> Void)?
    package let statistics: MemcachedStatistics
    private let countersOfLoop = Mutex<[ObjectIdentifier: SessionCounters]>([:])
    private let channels = Mutex<[any Channel]>([])

    /// `links`: the links to other nodes that belong to an event loop. `upgrade` takes over the connections of peers;
    /// without it their first line is an error. `shutdown` is called when a client's `shutdown` is allowed.
    package init(
        _ configuration: MemcachedListenerConfiguration, router: Routing, group: any EventLoopGroup,
        links: @escaping LinksOfLoop = { _ in nil }, upgrade: PeerUpgrade? = nil,
        shutdown: (@Sendable () -> Void)? = nil
    ) {
        self.configuration = configuration
        statistics = MemcachedStatistics(
            prefixes: PrefixStatistics(
                delimiter: configuration.session.prefixDelimiter, isOn: configuration.session.countsPrefixes))
        self.router = router
        self.group = group
        self.links = links
        self.upgrade = upgrade
        self.shutdown = shutdown
    }

    /// The ports that are listened on, one for each address.
    package var ports: [Int] { channels.withLock { $0.compactMap { $0.localAddress?.port } } }

    /// The addresses, with ports, and the unix socket that are listened on, for people.
    package var places: [String] {
        channels.withLock { channels in
            channels.compactMap { channel in
                guard let address = channel.localAddress else { return nil }
                guard let port = address.port else { return address.pathname }
                return ServerAddress(host: address.ipAddress ?? "?", port: port).description
            }
        }
    }

    /// Binds everything or, on the first failure, nothing.
    package func start() async throws(ListenFailure) {
        do throws(ListenFailure) {
            for address in configuration.addresses {
                guard let place = ServerAddress(address, portDefault: configuration.port) else {
                    throw ListenFailure(description: "can't listen on '\(address)': write an address, or address:port")
                }
                let channel = try await bind(host: place.host, port: place.port)
                channels.withLock { $0.append(channel) }
            }
            if let path = configuration.unixSocketPath {
                let channel = try await bind(path: path)
                channels.withLock { $0.append(channel) }
            }
        } catch {
            await stop()
            throw error
        }
    }

    /// Closes the listening sockets; connections go on until they are closed.
    package func stop() async {
        let open = channels.withLock { channels in
            defer { channels = [] }
            return channels
        }
        for channel in open { try? await channel.close() }
        if !open.isEmpty, let path = configuration.unixSocketPath { unlink(path) }
    }

    // MARK: Binding

    private func bind(host: String, port: Int) async throws(ListenFailure) -> any Channel {
        do {
            return try await bootstrap(name: "tcp:\(host):\(port)").bind(host: host, port: port).get()
        } catch {
            throw ListenFailure(description: Self.explanation(error, "\(host):\(port)"))
        }
    }

    private func bind(path: String) async throws(ListenFailure) -> any Channel {
        do {
            let channel = try await bootstrap(name: "unix:\(path)")
                .bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
            chmod(path, mode_t(configuration.unixSocketMode))
            return channel
        } catch {
            throw ListenFailure(description: Self.explanation(error, path))
        }
    }

    private static func explanation(_ error: any Error, _ place: String) -> String {
        guard let error = error as? IOError else { return "can't listen on \(place): there is no such address" }
        switch error.errnoCode {
        case EADDRINUSE:
            return "can't listen on \(place): it is in use; stop what listens there or choose another port"
        case EACCES: return "can't listen on \(place): permission denied; ports below 1024 are for root"
        case EADDRNOTAVAIL: return "can't listen on \(place): this machine has no such address"
        default: return "can't listen on \(place): \(String(cString: strerror(error.errnoCode)))"
        }
    }

    private func bootstrap(name: String) -> ServerBootstrap {
        ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: Int32(clamping: configuration.backlog))
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            // A client whose machine is gone does not hold its place for ever.
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 64 << 10, high: 512 << 10))
            .childChannelInitializer { channel in self.initialize(channel, listener: name) }
    }

    // MARK: Connections

    private func initialize(_ channel: any Channel, listener: String) -> EventLoopFuture<Void> {
        if listener.hasPrefix("tcp:") { try? channel.syncOptions?.setOption(.tcpOption(.tcp_nodelay), value: 1) }
        let address = channel.remoteAddress.map(Self.name) ?? listener
        guard
            let number = statistics.admit(
                max: configuration.connectionsMax, address: address, listener: listener, now: unixSeconds())
        else { return refuse(channel) }
        channel.closeFuture.whenComplete { _ in self.statistics.remove(connection: number) }
        return channel.eventLoop.makeCompletedFuture {
            let handler = MemcachedHandler(
                router: router, links: links(channel.eventLoop), configuration: configuration.session,
                statistics: statistics, counters: counters(of: channel.eventLoop), eventLoop: channel.eventLoop,
                upgrade: upgrade, shutdown: shutdown)
            try channel.pipeline.syncOperations.addHandler(handler)
        }
    }

    /// As memcached does with its default settings: a line that says why, then the end.
    private func refuse(_ channel: any Channel) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(RefusingHandler())
        }
    }

    private func counters(of eventLoop: any EventLoop) -> SessionCounters {
        countersOfLoop.withLock { loops in
            if let counters = loops[ObjectIdentifier(eventLoop)] { return counters }
            let counters = statistics.makeCounters()
            loops[ObjectIdentifier(eventLoop)] = counters
            return counters
        }
    }

    private static func name(_ address: SocketAddress) -> String {
        switch address {
        case .v4, .v6: "tcp:\(address.ipAddress ?? "?"):\(address.port ?? 0)"
        case .unixDomainSocket: "unix:\(address.pathname ?? "")"
        }
    }
}

/// Tells a client that there are too many, and closes.
private final class RefusingHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelActive(context: ChannelHandlerContext) {
        let line = ByteBuffer(string: "ERROR Too many open connections\r\n")
        let loopBound = context.loopBound
        context.writeAndFlush(wrapOutboundOut(line)).whenComplete { _ in loopBound.value.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}
}
