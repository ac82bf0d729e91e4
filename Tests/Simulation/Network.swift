// The simulated network: ways between nodes that are slow, cut in one direction or both, and connections over them as TCP has them.

import Coordination
import Gather
import NIOCore

/// Between two nodes, in one direction.
final class Way {
    let from: String
    let to: String
    var isCut = false
    /// Microseconds, at the least and at the most.
    var latency = 50...400

    init(from: String, to: String) {
        self.from = from
        self.to = to
    }
}

final class Network {
    let world: World
    private var ways: [String: Way] = [:]
    private var nodes: [String: SimulatedNode] = [:]
    /// Those that are open, in the order in which they were made.
    private var connections: [Connection] = []

    init(_ world: World) { self.world = world }

    func add(_ node: SimulatedNode) { nodes[node.name] = node }
    func node(_ name: String) -> SimulatedNode? { nodes[name] }

    func way(_ from: String, _ to: String) -> Way {
        let key = "\(from)>\(to)"
        if let way = ways[key] { return way }
        let way = Way(from: from, to: to)
        ways[key] = way
        return way
    }

    func latency(_ from: String, _ to: String) -> UInt64 {
        let range = way(from, to).latency
        return .microseconds(range.lowerBound + world.latencyChance.below(range.count))
    }

    func isReachable(_ from: String, _ to: String) -> Bool { !way(from, to).isCut && !way(to, from).isCut }

    // MARK: Connections

    func connect(
        from run: NodeRunning, loop: SimulatedLoop, to name: String, milliseconds: UInt64, user: any PeerChannelUser,
        made: @escaping @Sendable (Result<any PeerChannel, PeerConnectFailure>) -> Void
    ) {
        let from = run.node.name
        guard run.isAlive else {
            return world.after(0, of: run.process, on: loop) {
                made(.failure(PeerConnectFailure("the network is down", isSilence: false)))
            }
        }
        let there = latency(from, name)
        guard isReachable(from, name) else {
            return world.after(milliseconds, of: run.process, on: loop) {
                made(.failure(PeerConnectFailure("no answer to the connection attempt", isSilence: true)))
            }
        }
        let back = there + latency(name, from)
        guard let target = node(name)?.running else {
            return world.after(back, of: run.process, on: loop) {
                made(.failure(PeerConnectFailure("connection refused", isSilence: false)))
            }
        }
        let calledLoop = target.loops[world.latencyChance.below(target.loops.count)]
        let connection = Connection(self, caller: (run, loop), called: (target, calledLoop))
        connections.append(connection)
        connection.caller.user = user
        connection.called.user = FirstLine(target, connection.called)
        world.after(back, of: run.process, on: loop) { made(.success(connection.caller)) }
    }

    func remove(_ connection: Connection) { connections.removeAll { $0 === connection } }

    /// The ways have changed: what waited goes on, after a while, as TCP repeats less and less often.
    func goOn() { for connection in connections { connection.goOn() } }

    func connections(of run: NodeRunning) -> [Connection] { connections.filter { $0.belongs(to: run) } }

    var openConnections: [Connection] { connections }
}

/// Both ends of a connection.
final class Connection {
    let caller: SimulatedChannel
    let called: SimulatedChannel
    private unowned let network: Network

    init(_ network: Network, caller: (NodeRunning, SimulatedLoop), called: (NodeRunning, SimulatedLoop)) {
        self.network = network
        self.caller = SimulatedChannel(network, caller.0, caller.1)
        self.called = SimulatedChannel(network, called.0, called.1)
        self.caller.attach(self, peer: self.called)
        self.called.attach(self, peer: self.caller)
    }

    func belongs(to run: NodeRunning) -> Bool { caller.run === run || called.run === run }

    func goOn() {
        caller.goOn()
        called.goOn()
    }

    /// As by a firewall that lost its state.
    func reset() {
        caller.endSoon("connection reset by peer")
        called.endSoon("connection reset by peer")
    }

    func closedEnd() { if caller.isOver, called.isOver { network.remove(self) } }
}

/// One end. What it sends arrives in order, in pieces, after a while, and not at all while the way is cut.
final class SimulatedChannel: PeerChannel, @unchecked Sendable {
    private enum Piece {
        case bytes([UInt8])
        case end(String?)
    }

    /// TCP gives a connection up when what it sent is not acknowledged, or its keepalives are not.
    private static let unacknowledged = UInt64.seconds(5)
    private static let keepalive = UInt64.seconds(6)

    let run: NodeRunning
    let host = "127.0.0.1"
    private let home: SimulatedLoop
    private unowned let network: Network
    private var connection: Connection?
    private weak var peer: SimulatedChannel?
    var user: (any PeerChannelUser)?
    private(set) var isOver = false
    private var isEnding = false
    private(set) var unsentBytes = 0
    private var reads = true
    /// Arrived, and not taken yet.
    private var arrived: [Piece] = []
    private var lastArrival: UInt64 = 0
    /// Kept back by a cut.
    private var held: [Piece] = []
    private var heldNumber = 0

    init(_ network: Network, _ run: NodeRunning, _ loop: SimulatedLoop) {
        self.network = network
        self.run = run
        home = loop
    }

    func attach(_ connection: Connection, peer: SimulatedChannel) {
        self.connection = connection
        self.peer = peer
    }

    private var world: World { network.world }
    var loop: any PeerLoop { home }
    var isLoopback: Bool { true }
    var place: String { peer?.run.node.name ?? "nowhere" }
    var isWritable: Bool { unsentBytes < PeerTransport.unsentBytesHigh }

    // MARK: Out

    func send(_ bytes: inout ByteBuffer) {
        let all = Array(bytes.readableBytesView)
        bytes.clear()
        guard !isOver, !isEnding, !all.isEmpty else { return }
        unsentBytes += all.count
        // Any message may come in two parts.
        guard all.count > 1, world.latencyChance.chance(15) else { return pass(.bytes(all)) }
        let cut = 1 + world.latencyChance.below(all.count - 1)
        pass(.bytes(Array(all[..<cut])))
        pass(.bytes(Array(all[cut...])))
    }

    private func pass(_ piece: Piece) {
        guard let peer else { return }
        let (from, to) = (run.node.name, peer.run.node.name)
        guard held.isEmpty, !network.way(from, to).isCut else { return hold(piece) }
        lastArrival = max(lastArrival + 1, world.time + network.latency(from, to))
        world.at(lastArrival, of: peer.run.process, on: peer.home) { peer.arrive(piece) }
    }

    private func hold(_ piece: Piece) {
        held.append(piece)
        guard held.count == 1 else { return }
        heldNumber += 1
        let number = heldNumber
        world.after(Self.unacknowledged, of: nil) { [weak self] in
            guard let self, !held.isEmpty, heldNumber == number else { return }
            held = []
            endSoon("failed: connection timed out")
            endPeerLater()
        }
    }

    /// The other end hears nothing: its keepalives stay without an answer.
    private func endPeerLater() {
        world.after(Self.keepalive, of: nil) { [weak peer] in peer?.endSoon("failed: connection timed out") }
    }

    /// The way is open again, perhaps.
    func goOn() {
        guard !held.isEmpty, let peer, !network.way(run.node.name, peer.run.node.name).isCut else { return }
        let number = heldNumber
        world.after(.milliseconds(world.latencyChance.below(1_200)), of: nil) { [weak self] in
            guard let self, heldNumber == number, !held.isEmpty,
                !network.way(run.node.name, peer.run.node.name).isCut
            else { return }
            let pieces = held
            held = []
            heldNumber += 1
            for piece in pieces { pass(piece) }
        }
    }

    // MARK: In

    private func arrive(_ piece: Piece) {
        guard !isOver else { return }
        arrived.append(piece)
        takeArrived()
    }

    private func takeArrived() {
        while reads, !isOver, !arrived.isEmpty {
            switch arrived.removeFirst() {
            case .bytes(let bytes):
                peer?.wasTaken(bytes.count)
                bytes.withUnsafeBytes { user?.received($0) }
            case .end(let reason): end(reason)
            }
        }
    }

    private func wasTaken(_ count: Int) {
        let wasWritable = isWritable
        unsentBytes -= count
        guard !isOver, !wasWritable, unsentBytes < PeerTransport.unsentBytesLow else { return }
        world.after(0, of: run.process, on: home) { [weak self] in
            guard let self, !isOver else { return }
            user?.becameWritable()
        }
    }

    func setReading(_ reads: Bool) {
        guard reads != self.reads else { return }
        self.reads = reads
        if reads { world.after(0, of: run.process, on: home) { [weak self] in self?.takeArrived() } }
    }

    // MARK: The end

    func close() {
        guard !isEnding, !isOver else { return }
        endSoon(nil)
        pass(.end(nil))
    }

    /// On its loop, soon.
    func endSoon(_ reason: String?) {
        guard !isEnding, !isOver else { return }
        isEnding = true
        world.after(0, of: run.process, on: home) { self.end(reason) }
    }

    /// The process is gone, with all its sockets: the other end is told, where it can be.
    func processEnds() {
        guard !isOver else { return }
        isEnding = true
        if held.isEmpty, let peer, !network.way(run.node.name, peer.run.node.name).isCut {
            pass(.end("failed: connection reset by peer"))
        } else {
            held = []
            endPeerLater()
        }
        // Of the process that is gone nothing is seen any more; what it holds is let go of as at any end.
        world.after(0, of: nil, on: home) { self.end("the process ended") }
    }

    private func end(_ reason: String?) {
        guard !isOver else { return }
        isOver = true
        held = []
        let user = user
        self.user = nil
        user?.ended(reason)
        connection?.closedEnd()
        connection = nil
        // Whoever sent what was not taken need not wait for it.
        for case .bytes(let bytes) in arrived { peer?.wasTaken(bytes.count) }
        arrived = []
    }
}

/// An accepted connection until its first line is there: as the memcached port sees it.
private final class FirstLine: PeerChannelUser {
    private let target: NodeRunning
    private unowned let channel: SimulatedChannel
    private var bytes: [UInt8] = []

    init(_ target: NodeRunning, _ channel: SimulatedChannel) {
        self.target = target
        self.channel = channel
    }

    func received(_ more: UnsafeRawBufferPointer) {
        bytes += more
        guard let end = bytes.firstIndex(of: 10) else { return }
        var line = bytes[..<end]
        if line.last == 13 { line = line.dropLast() }
        let server = target.service.peerServer(hello: String(decoding: line, as: UTF8.self), on: channel)
        let rest = Array(bytes[(end + 1)...])
        channel.user = server
        if !rest.isEmpty { rest.withUnsafeBytes { server.received($0) } }
    }

    func becameWritable() {}
    func ended(_ reason: String?) {}
}

/// A node's thread for connections.
final class SimulatedLoop: PeerLoop, @unchecked Sendable {
    private let world: World
    private let network: Network
    private let environment: SimulatedEnvironment
    private let process: Process
    /// Once there is one.
    weak var run: NodeRunning?
    private var lastErrand: UInt64 = 0

    init(_ network: Network, _ environment: SimulatedEnvironment, _ process: Process) {
        world = network.world
        self.network = network
        self.environment = environment
        self.process = process
    }

    var now: Instant { Instant(nanoseconds: environment.uptimeNanoseconds) }
    var isCurrent: Bool { world.currentLoop === self }

    func execute(_ errand: @escaping @Sendable () -> Void) {
        lastErrand = max(lastErrand + 1, world.time + .microseconds(1 + world.threadChance.below(60)))
        world.at(lastErrand, of: process, on: self, errand)
    }

    func afterTurn(_ errand: @escaping @Sendable () -> Void) { world.after(0, of: process, on: self, errand) }

    func schedule(afterMilliseconds milliseconds: Int, _ errand: @escaping @Sendable () -> Void) -> PeerTimer {
        let timer = Timer(errand)
        world.after(environment.clock.trueSpan(milliseconds: milliseconds), of: process, on: self) { timer.fire() }
        return PeerTimer { timer.errand = nil }
    }

    func connect(
        host: String, port: Int, milliseconds: Int, user: any PeerChannelUser,
        made: @escaping @Sendable (Result<any PeerChannel, PeerConnectFailure>) -> Void
    ) {
        guard let run else { return made(.failure(PeerConnectFailure("the process ended", isSilence: false))) }
        network.connect(
            from: run, loop: self, to: host, milliseconds: environment.clock.trueSpan(milliseconds: milliseconds),
            user: user, made: made)
    }
}

private final class Timer: @unchecked Sendable {
    var errand: (@Sendable () -> Void)?

    init(_ errand: @escaping @Sendable () -> Void) { self.errand = errand }

    func fire() {
        let errand = errand
        self.errand = nil
        errand?()
    }
}
