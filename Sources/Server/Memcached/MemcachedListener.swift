// The memcached port: binds the addresses, admits connections up to a limit, and gives each its loop.
//
// Unsafe: closes raw descriptors that it did not hand on.

import Engine
package import Gather
import Glibc
import Synchronization

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

package final class MemcachedListener<Routing: CommandRouter>: Sendable {
    private let configuration: MemcachedListenerConfiguration
    private let router: Routing
    private let loops: [ServingLoop]
    private let links: [PeerLinks?]
    private let counters: [SessionCounters]
    /// For each loop, and used on its thread.
    private let accounts: [AccountHandle]
    private let upgrade: PeerUpgrade?
    private let shutdown: (@Sendable () -> Void)?
    package let statistics: MemcachedStatistics
    private let acceptors = Mutex<[AcceptorHandle]>([])
    private let nextLoop = Atomic<Int>(0)

    private struct AccountHandle: @unchecked Sendable { let account: BufferAccount }

    /// A listening socket, and its acceptor once the loop has it.
    private struct AcceptorHandle: @unchecked Sendable {
        let socket: ListeningSocket
        /// Touched on the first loop only.
        let acceptor: Acceptor
    }

    /// `loops` serve the connections in turn, the first one accepts them. `links`: the links to other nodes for each loop.
    /// `upgrade` takes over the connections of peers; without it their first line is an error. `shutdown` is called when a
    /// client's `shutdown` is allowed.
    package init(
        _ configuration: MemcachedListenerConfiguration, router: Routing, loops: [ServingLoop],
        links: (_ loop: Int) -> PeerLinks? = { _ in nil }, upgrade: PeerUpgrade? = nil,
        shutdown: (@Sendable () -> Void)? = nil
    ) {
        let statistics = MemcachedStatistics(
            prefixes: PrefixStatistics(
                delimiter: configuration.session.prefixDelimiter, isOn: configuration.session.countsPrefixes))
        statistics.allowsCrawls = configuration.session.allowsCrawls
        self.statistics = statistics
        self.router = router
        self.loops = loops
        self.links = loops.indices.map(links)
        counters = loops.map { _ in statistics.makeCounters() }
        // One of the largest items has to fit, whatever the limit is.
        let bytesMax = max(
            configuration.session.bufferBytesMax / loops.count, configuration.session.itemBytesMax + (512 << 10))
        accounts = loops.map { _ in
            AccountHandle(account: BufferAccount(bytesMax: bytesMax, gauge: statistics.makeGauge()))
        }
        // One client that asks for much and reads slowly stops its own requests before it is more than all may hold.
        var configuration = configuration
        configuration.session.answerBytesMax = min(configuration.session.answerBytesMax, bytesMax / 8)
        configuration.session.queuedBytesMax = min(configuration.session.queuedBytesMax, bytesMax / 8)
        self.configuration = configuration
        self.upgrade = upgrade
        self.shutdown = shutdown
    }

    private var places: [SocketPlace] { acceptors.withLock { $0.compactMap(\.socket.address) } }

    /// The ports that are listened on, one for each address.
    package var ports: [Int] {
        places.compactMap { if case .internet(_, let port) = $0 { port } else { nil } }
    }

    /// The addresses, with ports, and the unix socket that are listened on, for people.
    package var placeNames: [String] { addressNames + socketNames }

    package var addressNames: [String] {
        places.compactMap { place in
            guard case .internet(let host, let port) = place else { return nil }
            return HostPort(host: host, port: port).description
        }
    }

    package var socketNames: [String] { places.compactMap { if case .path(let path) = $0 { path } else { nil } } }

    /// Binds everything or, on the first failure, nothing.
    package func start() throws(ListenFailure) {
        do throws(ListenFailure) {
            for address in configuration.addresses {
                guard let place = HostPort(address, portDefault: configuration.port) else {
                    throw ListenFailure(description: "can't listen on '\(address)': write an address, or address:port")
                }
                let socket = try ListeningSocket.bind(
                    host: place.host, port: place.port, backlog: configuration.backlog)
                accept(on: socket)
            }
            if let path = configuration.unixSocketPath {
                accept(
                    on: try ListeningSocket.bind(
                        path: path, mode: configuration.unixSocketMode, backlog: configuration.backlog))
            }
        } catch {
            stop()
            throw error
        }
    }

    /// Closes the listening sockets; connections go on until they are closed. What is accepted already may still come.
    package func stop() {
        let open = acceptors.withLock { acceptors in
            defer { acceptors = [] }
            return acceptors
        }
        statistics.removeListeners()
        for handle in open {
            handle.socket.file?.remove()
            loops[0].execute { handle.acceptor.stop() }
        }
    }

    /// After `stop`: has the connections answer what they were asked, and close; those of peers stay. False where some had more to
    /// answer, or did not take it, `milliseconds` later.
    package func finish(withinMilliseconds milliseconds: Int) async -> Bool {
        let end = ContinuousClock.now + .milliseconds(milliseconds)
        while true {
            var areDone = true
            // The first loop accepts: what it did accept is with the others once it was asked.
            for loop in loops where !(await loop.finishMembers()) { areDone = false }
            if areDone { return true }
            guard ContinuousClock.now < end else { return false }
            try? await Task.sleep(for: .milliseconds(20))
        }
    }

    /// Gives the unix socket to the user that the process is about to become.
    package func giveFiles(to user: UInt32, _ group: UInt32) {
        acceptors.withLock { for handle in $0 { handle.socket.file?.give(to: user, group) } }
    }

    private func accept(on socket: ListeningSocket) {
        let acceptor = Acceptor(socket, loop: loops[0]) { [self] descriptor, place in
            accepted(descriptor, place, socket)
        }
        let handle = AcceptorHandle(socket: socket, acceptor: acceptor)
        acceptors.withLock { $0.append(handle) }
        statistics.add(listener: socket.address?.description ?? socket.name, now: SystemEnvironment().unixSeconds)
        let loop = loops[0]
        loop.execute { _ = loop.add(handle.acceptor, .readable) }
    }

    // MARK: Connections

    private func accepted(_ descriptor: Int32, _ place: SocketPlace?, _ socket: ListeningSocket) {
        guard
            let (number, activity) = statistics.admit(
                max: configuration.connectionsMax, address: place.map(\.description) ?? socket.name,
                listener: socket.name,
                now: SystemEnvironment().unixSeconds)
        else { return refuse(descriptor) }
        let at = nextLoop.wrappingAdd(1, ordering: .relaxed).oldValue % loops.count
        let client = ClientAddress(of: place, acceptedOn: socket.address)
        if at == 0 { return serve(descriptor, number, activity, client, at) }
        loops[at].execute { self.serve(descriptor, number, activity, client, at) }
    }

    private func serve(
        _ descriptor: Int32, _ number: Int, _ activity: ConnectionActivity, _ client: ClientAddress, _ at: Int
    ) {
        let statistics = statistics
        let connection = MemcachedConnection(
            descriptor: descriptor, loop: loops[at], router: router, links: links[at],
            configuration: configuration.session, statistics: statistics, counters: counters[at],
            context: .init(
                activity: activity, client: client, account: accounts[at].account, upgrade: upgrade, shutdown: shutdown,
                closed: { statistics.remove(connection: number) }))
        guard connection.start() else {
            close(descriptor)
            return statistics.remove(connection: number)
        }
    }

    /// As memcached does with its default settings: a line that says why, then the end.
    private func refuse(_ descriptor: Int32) {
        let line: StaticString = "ERROR Too many open connections\r\n"
        _ = send(descriptor, line.utf8Start, line.utf8CodeUnitCount, Int32(MSG_NOSIGNAL))
        Glibc.shutdown(descriptor, Int32(SHUT_WR))
        close(descriptor)
    }
}

extension ClientAddress {
    /// `place`: of the client, where that could be told; `listener`: of the socket that it came by. Nothing of what can't be told is
    /// taken for this machine.
    init(of place: SocketPlace?, acceptedOn listener: SocketPlace?) {
        switch (place, listener) {
        case (.internet(let host, _)?, _): self.init(host: host)
        case (.path?, _), (nil, .path?): self = .local
        case (nil, _): self.init(host: "an unknown address", isLocal: false)
        }
    }
}
