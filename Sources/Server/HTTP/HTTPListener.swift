// The HTTP port: Hummingbird's server on SwiftNIO's loops, begun and ended with its node.

import Engine
import Gather
import HummingbirdCore
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// What `--http` and its kin say.
struct HTTPConfiguration: Sendable {
    var address: HostPort
    /// What else this node is called.
    var names: [String] = []
    /// Pages that may ask and write.
    var origins: [String] = []
    /// Of a body of rows.
    var rowsBytesMax = 64 << 20
    /// At a time; more wait to be accepted.
    var connectionsMax = 1_024
}

final class HTTPListener: Sendable {
    private let configuration: HTTPConfiguration
    private let service: HTTPService
    private let group: MultiThreadedEventLoopGroup
    private let logger: Logger
    private let server = Mutex<Server<HTTPConnections>?>(nil)

    init(
        _ configuration: HTTPConfiguration, service: HTTPService, group: MultiThreadedEventLoopGroup, logger: Logger
    ) {
        self.configuration = configuration
        self.service = service
        self.group = group
        self.logger = logger
    }

    /// Listens; throws where the port is taken. Returns where it listens.
    func start() async throws(Failure) -> String {
        let (address, connections) = (configuration.address, HTTPConnections(service))
        var quiet = logger
        quiet.logLevel = max(logger.logLevel, .error)
        let (logger, group) = (quiet, group)
        let result = FirstOf<Result<String, Failure>>()
        let server = Server(
            childChannelSetup: connections,
            configuration: ServerConfiguration(
                address: .hostname(address.host, port: address.port), backlog: 1_024,
                availableConnectionsDelegate: MaximumAvailableConnections(configuration.connectionsMax)),
            onServerRunning: { channel in
                let port = channel.localAddress?.port ?? address.port
                result.give(.success(HostPort(host: address.host, port: port).description))
            },
            eventLoopGroup: group, logger: logger)
        Task {
            do { try await server.run() } catch {
                result.give(
                    .failure(
                        Failure(.unreachable, "can't listen on \(address) for HTTP: \(plainText(of: error))")))
            }
        }
        self.server.withLock { $0 = server }
        return try await result.value().get()
    }

    /// No new connections; those that are idle are closed, and what is being answered has so long. Who watches a run has no more
    /// either.
    func stop(withinMilliseconds milliseconds: Int = 1_000) async {
        guard let server = server.withLock({ $0.take() }) else { return }
        let isOver = FirstOf<Void>()
        Task {
            try? await server.shutdownGracefully()
            isOver.give(())
        }
        Task {
            try? await Task.sleep(for: .milliseconds(milliseconds))
            isOver.give(())
        }
        await isOver.value()
    }
}
