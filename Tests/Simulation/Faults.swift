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
        guard ways.allSatisfy({ !$0.isCut }) else { return }
        for way in ways { way.isCut = true }
        note(ways.count == 2 ? "cut" : "one-way cut", "\(from) \(to)")
        starts([from, to])
        world.after(span(), of: nil) { [self] in
            for way in ways { way.isCut = false }
            ends([from, to])
            world.trace.note(world.time, "healed \(from) \(to)")
            network.goOn()
        }
    }

    private func slow() {
        let (from, to) = twoNodes()
        let way = network.way(from, to)
        guard way.latency.upperBound < 1_000 else { return }
        let before = way.latency
        let most = [2_000, 20_000, 400_000, 1_500_000][chance.below(4)]
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
        guard !open.isEmpty else { return }
        let connection = open[chance.below(open.count)]
        note("reset", "\(connection.caller.run.node.name) \(connection.called.run.node.name)")
        lastChange = world.time
        for channel in [connection.caller, connection.called] {
            disturbedUntil[channel.run.node.name] = max(
                disturbedUntil[channel.run.node.name] ?? 0, world.time + .seconds(1))
        }
        connection.reset()
    }

    // MARK: Processes

    private func stop() {
        let node = nodes[chance.below(nodes.count)]
        guard let run = node.running, run.process.stoppedUntil <= world.time else { return }
        let span = span()
        run.process.stoppedUntil = world.time + span
        note("stop", node.name)
        // Whoever asks it waits, too.
        let names = nodes.map(\.name)
        starts(names)
        world.after(span, of: nil) { [self] in ends(names) }
    }

    private func kill() {
        let node = nodes[chance.below(nodes.count)]
        guard let run = node.running, nodes.allSatisfy({ $0.running != nil }) else { return }
        // Most wait until the others know what it has; those that don't make every count doubtful.
        guard isCalm || chance.chance(15) else { return }
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
