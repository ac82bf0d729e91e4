// A command's connection to a node: requests over the peer protocol, answers awaited.

import Coordination
import Engine
import Gather
import Logging
import NIOCore
import NIOPosix

/// As whom a command asks, where a node wants to know.
struct Login: Sendable {
    var name: String
    var password: [UInt8]

    static let none = Login(name: "", password: [])
}

struct NodeClient: Sendable {
    let address: HostPort
    let login: Login
    private let link: PeerLink
    private let status: PeerStatus

    /// Connects when the first request is sent.
    init(_ address: HostPort, login: Login = .none) {
        self.address = address
        self.login = login
        // What happens to the connection is the command's to say.
        status = PeerStatus(
            name: "", address: address.description,
            logger: Logger(label: "cacheismo") { _ in SwiftLogNoOpLogHandler() })
        var timing = LinkMachine.Timing()
        // Where others at this address have sent wrong passwords, the answer to a right one waits as well.
        if !login.name.isEmpty { timing.greetMilliseconds += LoginFailures.delayMillisecondsMax }
        link = PeerLink(
            loop: MultiThreadedEventLoopGroup.singleton.next(), name: "", host: address.host, port: address.port,
            caller: .client(login: Array(login.name.utf8), password: login.password), status: status, timing: timing)
    }

    func send(_ request: PeerRequest, timeoutMilliseconds: Int) async throws(Failure) -> Value {
        let reply = try await link.send(
            request, deadline: SystemEnvironment().deadline(afterMilliseconds: timeoutMilliseconds))
        return try Router.value(of: .success(reply)).get()
    }

    func control(_ verb: ControlVerb, _ argument: Value, timeoutMilliseconds: Int = 10_000) async throws(Failure)
        -> Value
    {
        try await send(.control(verb: verb, argument: argument), timeoutMilliseconds: timeoutMilliseconds)
    }

    /// What `get key` answers on this node.
    func fetch(_ key: String, timeoutMilliseconds: Int = 60_000) async throws(Failure) -> Value {
        try await send(
            .fetch(
                key: CommandLineBytes.bytes(of: key), deadlineMilliseconds: UInt32(timeoutMilliseconds), byJob: false),
            timeoutMilliseconds: timeoutMilliseconds + 500)
    }

    /// The nodes of the cluster, by the list that this one was started with.
    func nodes() async throws(Failure) -> [(name: String, address: HostPort)] {
        let topology = try await control(.topology, .null)
        guard case .array(let nodes)? = topology["nodes"] else {
            throw Failure(.scriptVersion, "\(address) answers in a version that is not understood")
        }
        return nodes.compactMap { node in
            guard let name = node["name"]?.text, let host = node["host"]?.text, case .int(let port)? = node["port"]
            else {
                return nil
            }
            return (name, nodes.count == 1 ? address : HostPort(host: host, port: Int(port)))
        }
    }

    /// Another node, asked as the same user.
    func peer(at address: HostPort) -> NodeClient { NodeClient(address, login: login) }

    /// The node is there, and does not want this client.
    var isRefused: Bool {
        guard case .refused = status.state else { return false }
        return true
    }

    func close() { link.close() }
}
