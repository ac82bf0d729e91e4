// A client of the simulated cluster: memcached commands on sessions of its own, and what commands of the command line ask.

import Coordination
import Engine
import Gather

/// What a client was told.
enum Reply: Equatable {
    /// A line, without its end.
    case line(String)
    /// Keys and values of a retrieval that was answered in full.
    case values([String: [UInt8]])
    /// The connection, or the node, was gone first.
    case lost

    var isError: Bool {
        guard case .line(let line) = self else { return self == .lost }
        return line.hasPrefix("SERVER_ERROR") || line.hasPrefix("CLIENT_ERROR") || line == "ERROR"
    }
}

/// One memcached connection to one run of a node.
final class ClientConnection: @unchecked Sendable {
    private let world: World
    private let run: NodeRunning
    private var session: MemcachedSession<Router>?
    private var received: [UInt8] = []
    private var waiting: [(Reply) -> Void] = []

    init(_ world: World, _ run: NodeRunning) {
        self.world = world
        self.run = run
        let statistics = MemcachedStatistics()
        session = MemcachedSession(
            router: run.service.router, links: run.cluster.links(forLoop: 0), configuration: SessionConfiguration(),
            statistics: statistics, counters: statistics.makeCounters(),
            wake: { [weak self] in self?.wake() })
    }

    var isOpen: Bool { run.isAlive }

    /// Sends commands that get so many replies, in one packet. `taken`: when the node reads it.
    func send(_ bytes: [UInt8], taken: @escaping () -> Void, replies: [(Reply) -> Void]) {
        waiting += replies
        world.after(.microseconds(20 + world.latencyChance.below(300)), of: run.process, on: run.serving) {
            guard self.run.isAlive else { return }
            taken()
            let now = self.run.environment.unixSeconds
            bytes.withUnsafeBytes { self.session?.receive($0, now: now) }
            self.pump()
        }
    }

    /// The node is gone: whatever was asked has no answer.
    func lose() {
        session = nil
        let waiting = waiting
        self.waiting = []
        for reply in waiting { reply(.lost) }
    }

    private func wake() {
        world.after(.microseconds(1 + world.threadChance.below(30)), of: run.process, on: run.serving) {
            guard self.run.isAlive else { return }
            self.session?.collect(now: self.run.environment.unixSeconds)
            self.pump()
        }
    }

    private func pump() {
        guard let session else { return }
        while true {
            let output = session.output
            for piece in [output.head, output.value, output.tail] { received.append(contentsOf: piece) }
            let count = output.count
            session.didSend(count)
            let wasStalled = session.verdict == .stalled
            if wasStalled { session.resume(now: run.environment.unixSeconds) }
            if session.outputBytes == 0, !(wasStalled && session.verdict == .open) { break }
        }
        while !waiting.isEmpty, let reply = takeReply() { waiting.removeFirst()(reply) }
    }

    /// The first whole reply of what came.
    private func takeReply() -> Reply? {
        var at = 0
        var values: [String: [UInt8]] = [:]
        while let end = received[at...].firstIndex(of: 10) {
            let line = String(decoding: received[at..<end].dropLast(), as: UTF8.self)
            at = end + 1
            let words = line.split(separator: " ")
            guard words.first == "VALUE", words.count >= 4, let count = Int(words[3]) else {
                received.removeSubrange(..<at)
                return line == "END" ? .values(values) : .line(line)
            }
            guard received.count >= at + count + 2 else { return nil }
            values[String(words[1])] = Array(received[at..<(at + count)])
            at += count + 2
        }
        return nil
    }
}

/// A client with a connection to each node.
final class Client {
    private let world: World
    private var connections: [String: ClientConnection] = [:]

    init(_ world: World) { self.world = world }

    func send(
        _ text: String, to run: NodeRunning, taken: @escaping () -> Void = {}, reply: @escaping (Reply) -> Void
    ) {
        send([text], to: run, taken: taken, replies: [reply])
    }

    /// Several commands in one packet, each with one reply.
    func send(
        _ commands: [String], to run: NodeRunning, taken: @escaping () -> Void, replies: [(Reply) -> Void]
    ) {
        let name = run.node.name
        if connections[name]?.isOpen != true { connections[name] = ClientConnection(world, run) }
        connections[name]?.send(Array(commands.joined().utf8), taken: taken, replies: replies)
    }

    func lose(_ name: String) { connections.removeValue(forKey: name)?.lose() }
}

/// What a command of the command line asks on a connection of its own.
final class CommandConnection: @unchecked Sendable {
    private let world: World
    private let run: NodeRunning
    private let connection = PeerConnection(.client)
    private var waiting: [Int: (Result<Value, Failure>) -> Void] = [:]
    private var last = 0

    init(_ world: World, _ run: NodeRunning) {
        self.world = world
        self.run = run
    }

    static let lost = Failure(.unreachable, "the connection was lost")

    /// `milliseconds`: by when an answer is wanted.
    func ask(_ request: PeerRequest, milliseconds: Int, answer: @escaping (Result<Value, Failure>) -> Void) {
        last += 1
        let number = last
        waiting[number] = answer
        world.after(.microseconds(50 + world.latencyChance.below(300)), of: run.process, on: run.loops[0]) {
            guard self.run.isAlive else {
                self.waiting.removeValue(forKey: number)?(.failure(Self.lost))
                return
            }
            let time = RequestTime(
                due: self.run.environment.deadline(afterMilliseconds: milliseconds), leftMilliseconds: milliseconds)
            self.run.service.handle(request, from: self.connection, time: time) { reply in
                self.world.after(.microseconds(50), of: self.run.process) {
                    guard self.run.isAlive else { return }
                    self.waiting.removeValue(forKey: number)?(Router.value(of: Self.result(reply)))
                }
            }
        }
    }

    func control(
        _ verb: ControlVerb, _ argument: Value, milliseconds: Int = 5_000,
        answer: @escaping (Result<Value, Failure>) -> Void
    ) {
        ask(.control(verb: verb, argument: argument), milliseconds: milliseconds, answer: answer)
    }

    private static func result(_ reply: PeerReply) -> Result<PeerReply, Failure> {
        if case .failure(let failure) = reply { return .failure(failure) }
        return .success(reply)
    }

    func close() {
        world.after(.microseconds(100), of: run.process, on: run.loops[0]) {
            self.connection.markClosed()
            self.run.service.closed(self.connection)
        }
    }

    func lose() {
        let waiting = waiting.sorted { $0.key < $1.key }.map(\.value)
        self.waiting = [:]
        for answer in waiting { answer(.failure(Self.lost)) }
        connection.markClosed()
        run.service.closed(connection)
    }
}
