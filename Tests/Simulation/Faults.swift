// What goes wrong: ways that are cut or slow, connections that are reset, processes that are stopped or killed and started again.

final class Faults {
    private let world: World
    private let network: Network
    private let nodes: [SimulatedNode]
    private var chance: SeededRandom
    /// Cuts, stops and dead processes at the moment.
    private var underWay = 0
    private var lastChange: UInt64 = 0
    private var isOver = false
    /// By node, when it was last stopped, or a way from or to it cut or slow, until it was well again.
    private var disturbedUntil: [String: UInt64] = [:]
    /// Told of each end of a process, just before it; and whether all nodes were well for a while.
    var onEnd: (NodeRunning, Bool) -> Void = { _, _ in }
    private(set) var counts: [String: Int] = [:]

    init(_ world: World, _ network: Network, _ nodes: [SimulatedNode]) {
        self.world = world
        self.network = network
        self.nodes = nodes
        chance = World.chance(world.seed, 4)
    }

    /// For three seconds nothing was wrong.
    var isCalm: Bool { underWay == 0 && lastChange + .seconds(3) < world.time }

    func wasUndisturbed(_ run: NodeRunning, since time: UInt64) -> Bool {
        run.process.stoppedUntil < time && (disturbedUntil[run.node.name] ?? 0) < time
    }

    func begin() { plan() }

    private func plan() {
        // Spells without faults are needed too: without them nobody ever knows everything.
        let pause = chance.chance(25) ? 4_000 + chance.below(6_000) : 20 + chance.below(1_500)
        world.after(.milliseconds(pause), of: nil) { [unowned self] in
            guard !isOver else { return }
            happen()
            plan()
        }
    }

    private func happen() {
        switch chance.below(100) {
        case 0..<30: cut()
        case 30..<45: slow()
        case 45..<65: stop()
        case 65..<80: reset()
        default: kill()
        }
    }

    // MARK: Loads

    /// What may happen to a load between its first and its last word, at times: its coordinator is gone, stopped, or can't be heard
    /// by all; or a participant is gone. `ask`: has a job look at the frame there, and says when it is answered.
    func strike(
        load coordinator: NodeRunning, participants: [String], isCertain: Bool,
        ask: @escaping (@escaping () -> Void) -> Void
    ) {
        guard !isOver, isCertain || chance.chance(20) else { return }
        let others = nodes.filter { participants.contains($0.name) && $0 !== coordinator.node }
        guard !others.isEmpty else { return }
        let other = others[chance.below(others.count)]
        // As short as a message takes, or as long as a few of them.
        let moment = UInt64.microseconds(chance.below([500, 2_000, 10_000][chance.below(3)]))
        let kind = chance.below(100)
        // A way that is slow makes the moment between two messages a long one.
        if chance.chance(40) { slow(coordinator.node.name, other.name, most: 400_000) }
        world.after(moment, of: nil) { [self] in
            guard !isOver else { return }
            switch kind {
            case 0..<15: kill(coordinator.node)
            case 15..<25: kill(other)
            case 25..<35:
                // What it has shown others is told by nobody but them, if it has not said more.
                for connection in network.connections(of: coordinator) { reset(connection) }
                ask { [self] in if !isOver, coordinator.isAlive { kill(coordinator.node) } }
            case 35..<45: stop(coordinator.node, for: doubtful())
            case 45..<80:
                // It hears of the decision from nobody.
                let span = doubtful()
                for from in nodes where from !== other { cut([network.way(from.name, other.name)], for: span) }
            case 80..<90: cut([network.way(coordinator.node.name, other.name)], for: doubtful())
            default: cut([network.way(other.name, coordinator.node.name)], for: doubtful())
            }
        }
    }

    /// Around the time after which participants ask each other.
    private func doubtful() -> UInt64 { .milliseconds(2_000 + chance.below(12_000)) }

    private func span() -> UInt64 {
        switch chance.below(10) {
        case 0..<5: .milliseconds(20 + chance.below(900))
        case 5..<9: .milliseconds(900 + chance.below(5_000))
        default: .seconds(6 + chance.below(50))
        }
    }

    private func note(_ kind: String, _ what: String) {
        counts[kind, default: 0] += 1
        world.trace.note(world.time, "\(kind) \(what)")
    }

    private func starts(_ names: [String]) {
        underWay += 1
        lastChange = world.time
        for name in names { disturbedUntil[name] = .max }
    }

    private func ends(_ names: [String]) {
        underWay -= 1
        lastChange = world.time
        // Longer than it takes to find out.
        for name in names { disturbedUntil[name] = world.time + .seconds(3) }
    }

    private func twoNodes() -> (String, String) {
        let first = chance.below(nodes.count)
        let second = (first + 1 + chance.below(nodes.count - 1)) % nodes.count
        return (nodes[first].name, nodes[second].name)
    }

    // MARK: Ways

    private func cut() {
        let (from, to) = twoNodes()
        let ways = chance.chance(60) ? [network.way(from, to), network.way(to, from)] : [network.way(from, to)]
        cut(ways, for: span())
    }

    private func cut(_ ways: [Way], for span: UInt64) {
        guard ways.allSatisfy({ !$0.isCut }) else { return }
        for way in ways { way.isCut = true }
        let (from, to) = (ways[0].from, ways[0].to)
        note(ways.count == 2 ? "cut" : "one-way cut", "\(from) \(to)")
        starts([from, to])
        world.after(span, of: nil) { [self] in
            for way in ways { way.isCut = false }
            ends([from, to])
            world.trace.note(world.time, "healed \(from) \(to)")
            network.goOn()
        }
    }

    private func slow() {
        let (from, to) = twoNodes()
        slow(from, to, most: [2_000, 20_000, 400_000, 1_500_000][chance.below(4)])
    }

    /// `most`: microseconds.
    private func slow(_ from: String, _ to: String, most: Int) {
        let way = network.way(from, to)
        guard way.latency.upperBound < 1_000 else { return }
        let before = way.latency
        way.latency = most / 4...most
        note("slow", "\(from) \(to)")
        starts([from, to])
        world.after(span(), of: nil) { [self] in
            way.latency = before
            ends([from, to])
        }
    }

    private func reset() {
        let open = network.openConnections
        if !open.isEmpty { reset(open[chance.below(open.count)]) }
    }

    private func reset(_ connection: Connection) {
        note("reset", "\(connection.caller.run.node.name) \(connection.called.run.node.name)")
        lastChange = world.time
        for channel in [connection.caller, connection.called] {
            disturbedUntil[channel.run.node.name] = max(
                disturbedUntil[channel.run.node.name] ?? 0, world.time + .seconds(1))
        }
        connection.reset()
    }

    // MARK: Processes

    private func stop() { stop(nodes[chance.below(nodes.count)], for: span()) }

    private func stop(_ node: SimulatedNode, for span: UInt64) {
        guard let run = node.running, run.process.stoppedUntil <= world.time else { return }
        run.process.stoppedUntil = world.time + span
        note("stop", node.name)
        // Whoever asks it waits, too.
        let names = nodes.map(\.name)
        starts(names)
        world.after(span, of: nil) { [self] in ends(names) }
    }

    private func kill() {
        // Most wait until the others know what it has; those that don't make every count doubtful.
        guard isCalm || chance.chance(15) else { return }
        kill(nodes[chance.below(nodes.count)])
    }

    private func kill(_ node: SimulatedNode) {
        guard let run = node.running, nodes.allSatisfy({ $0.running != nil }) else { return }
        onEnd(run, isCalm)
        node.kill()
        note("kill", node.name)
        let names = nodes.map(\.name)
        starts(names)
        let span = chance.chance(50) ? .milliseconds(chance.below(50)) : span()
        world.after(min(span, .seconds(8)), of: nil) { [self] in
            node.start()
            world.trace.note(world.time, "started \(node.name)")
            ends(names)
        }
    }

    /// No more. Answers when the last process that is stopped goes on.
    func end() -> UInt64 {
        isOver = true
        var goesOn = world.time
        for from in nodes {
            goesOn = max(goesOn, from.running?.process.stoppedUntil ?? 0)
            for to in nodes where from !== to {
                let way = network.way(from.name, to.name)
                way.isCut = false
                way.latency = 50...400
            }
        }
        network.goOn()
        return goesOn
    }
}
