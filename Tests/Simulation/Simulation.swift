// One simulated life of a cluster: clients at work, faults, checks of every answer; then all is healed, and progress is demanded.

import Coordination
import Engine
import Gather

final class Simulation {
    let world: World
    let network: Network
    let nodes: [SimulatedNode]
    let faults: Faults
    private(set) var violation: String?
    /// By kind and outcome, under faults and after them.
    private(set) var answered: [String: Int] = [:]
    private(set) var answeredInTheEnd: [String: Int] = [:]
    var chance: SeededRandom
    var clients: [Client] = []
    var commands: [(run: NodeRunning, connection: CommandConnection)] = []
    private(set) var items: [ItemHistory] = []
    var counters: [CounterHistory] = []
    private(set) var frames: [FrameHistory] = []
    /// Frames that the first append makes, on whatever node it comes to, be it on both sides of a cut.
    private(set) var looseFrames: [FrameHistory] = []
    /// Names that are dropped and used again.
    private(set) var reusedFrames: [ReusedFrameHistory] = []
    /// Each with one load, which something happened to.
    var struckFrames: [FrameHistory] = []
    var struckCount = 0
    /// Jobs that are asked for by their names.
    private(set) var jobs: [JobHistory] = []
    /// What was asked and not answered yet, by when it was sent.
    private var open: [Int: (what: String, sent: UInt64)] = [:]
    private var lastNumber = 0
    /// Faults are over, and every answer has to be a good one.
    private(set) var demandsProgress = false
    /// Clients begin nothing new.
    private(set) var isQuiet = false
    /// Nothing is judged any more, and nothing new begun.
    private(set) var isOver = false

    static let nodeNames = ["n1", "n2", "n3", "n4"]

    init(seed: UInt64, prints: Bool) {
        let world = World(seed: seed, prints: prints)
        self.world = world
        chance = World.chance(seed, 3)
        let names = Self.nodeNames.prefix([2, 3, 3, 3, 4][chance.below(5)])
        let peers = names.map { "\($0)=\($0):11211" }.joined(separator: ",")
        let network = Network(world)
        self.network = network
        nodes = names.enumerated().map { SimulatedNode($1, $0, peers: peers, network) }
        faults = Faults(world, network, nodes)
        for node in nodes { node.start() }
        guard let view = nodes[0].running?.cluster.view else { fatalError("a node that has started runs") }
        func owner(_ key: String) -> SimulatedNode {
            nodes[Array(key.utf8).withUnsafeBytes { view.place(of: $0).node }]
        }
        items = (0..<24).map { ItemHistory("key\($0)", owner: owner("key\($0)")) }
        counters = (0..<6).map { CounterHistory("c\($0)", owner: owner("c\($0)")) }
        reusedFrames = (0..<2).map { ReusedFrameHistory("h\($0)") }
        jobs = (0..<3).map { JobHistory("j\($0)") }
        clients = (0..<6).map { _ in Client(world) }
        faults.onEnd = { [unowned self] in lost($0, isCalm: $1) }
    }

    /// Answers why the first wrong answer is one; nil when there was none.
    func run(events: Int) -> String? {
        for number in clients.indices { think(number) }
        tendFrames()
        strikeLoads()
        faults.begin()
        while violation == nil, world.events < events { world.run(until: world.time + .seconds(1), eventsMax: events) }
        if violation == nil { heal() }
        if violation == nil { checkProgress() }
        end()
        return violation
    }

    func violate(_ what: String) {
        guard violation == nil, !isOver else { return }
        violation = "\(Trace.seconds(world.time)) s: \(what)"
        world.trace.note(world.time, "VIOLATION \(what)")
    }

    // MARK: Questions and answers

    /// A question that has to be answered, whatever happens.
    func asked(_ what: String) -> Int {
        lastNumber += 1
        open[lastNumber] = (what, world.time)
        return lastNumber
    }

    func wasAnswered(_ number: Int, _ kind: String, _ isGood: Bool) {
        guard let question = open.removeValue(forKey: number) else {
            return violate("two answers to one question")
        }
        let outcome = "\(kind) \(isGood ? "answered" : "failed")"
        if demandsProgress {
            answeredInTheEnd[outcome, default: 0] += 1
        } else {
            answered[outcome, default: 0] += 1
        }
        world.trace.note(world.time, "\(question.what) \(isGood ? "answered" : "failed")", UInt64(number))
    }

    /// That a node which was neither stopped nor cut off took too long.
    func checkTime(_ kind: String, _ run: NodeRunning, since taken: UInt64, milliseconds: Int) {
        guard run.isAlive, faults.wasUndisturbed(run, since: taken) else { return }
        let took = (world.time - taken) / 1_000_000
        if took > UInt64(milliseconds) { violate("\(kind) at \(run.node.name) took \(took) ms") }
    }

    var aliveRuns: [NodeRunning] { nodes.compactMap(\.running) }

    func anyRun() -> NodeRunning? {
        let runs = aliveRuns
        return runs.isEmpty ? nil : runs[chance.below(runs.count)]
    }

    // MARK: Losses

    private func lost(_ run: NodeRunning, isCalm: Bool) {
        checkStruckFrames()
        let name = run.node.name
        for client in clients { client.lose(name) }
        let mine = commands.filter { $0.run === run }
        commands.removeAll { $0.run === run }
        for (_, connection) in mine { connection.lose() }
        for counter in counters where counter.owner === run.node { counter.startAnew() }
        let known = world.time - min(world.time, .seconds(2))
        let others = aliveRuns.filter { $0 !== run }
        for frame in frames + looseFrames + reusedFrames + struckFrames {
            frame.lost(run, isCalm: isCalm, known: known, others: others)
        }
        for job in jobs { job.lost(run, isCalm: isCalm, known: known) }
    }

    private func checkStruckFrames() {
        for frame in struckFrames {
            if let problem = frame.problem(withWhatIsKnownTo: aliveRuns) { violate(problem) }
        }
    }

    // MARK: Frames

    /// The one that is used, and one that comes next.
    private func tendFrames() {
        let usable = frames.filter { !$0.isDropped }
        if let last = usable.last {
            if !last.isKnown {
                last.isKnown = aliveRuns.count == nodes.count && aliveRuns.allSatisfy { knows($0, last.name) }
            }
            if last.isKnown, last.isDoubtful || last.blocks.count > 60 || chance.below(400) == 0 { makeFrame() }
            for frame in usable.dropLast() where last.isKnown && chance.below(20) == 0 { drop(frame) }
        } else {
            makeFrame()
        }
        world.after(.milliseconds(100), of: nil) { [unowned self] in if violation == nil, !isOver { tendFrames() } }
    }

    /// One that may be in conflict, at times.
    func looseFrame() -> FrameHistory {
        if let last = looseFrames.last, last.blocks.count < 40, !last.isDoubtful, !chance.chance(4) { return last }
        let frame = FrameHistory("g\(looseFrames.count)")
        looseFrames.append(frame)
        return frame
    }

    private func makeFrame() {
        guard aliveRuns.count == nodes.count, faults.isCalm, let run = anyRun() else { return }
        let frame = FrameHistory("f\(frames.count)")
        frames.append(frame)
        create(frame, at: run)
    }

    func create(_ frame: FrameHistory, at run: NodeRunning, _ done: @escaping () -> Void = {}) {
        let number = asked("create \(frame.name)")
        let argument = Value.object([
            "name": .string(frame.name),
            "schema": .array([
                .object(["name": .string("block"), "type": .string("string")]),
                .object(["name": .string("id"), "type": .string("int")]),
            ]),
        ])
        command(run).control(.createFrame, argument) { [unowned self] result in
            wasAnswered(number, "create", (try? result.get()) != nil)
            if case .failure(let failure) = result, demandsProgress {
                violate("a frame is not made: \(failure.message)")
            }
            done()
        }
    }

    private func drop(_ frame: FrameHistory) {
        guard let run = anyRun(), knows(run, frame.name) else { return }
        frame.isDropped = true
        let number = asked("drop \(frame.name)")
        command(run).control(.dropFrame, .object(["name": .string(frame.name)])) { [unowned self] result in
            wasAnswered(number, "drop", (try? result.get()) != nil)
        }
    }

    func knows(_ run: NodeRunning, _ frame: String) -> Bool {
        let named = run.cluster.readRegistry { $0.frame(named: frame) }
        guard case .one(let entry) = named else { return false }
        return run.cluster.frame(entry.id) != nil
    }

    var currentFrame: FrameHistory? { frames.last { $0.isKnown && !$0.isDropped } }

    func command(_ run: NodeRunning) -> CommandConnection {
        let connection = CommandConnection(world, run)
        commands.append((run, connection))
        return connection
    }

    func close(_ connection: CommandConnection) {
        commands.removeAll { $0.connection === connection }
        connection.close()
    }

    // MARK: The end

    /// All faults end; what was under way comes to an end.
    private func heal() {
        let goesOn = faults.end()
        // Dead processes are started again within 8 s.
        world.run(until: goesOn + .seconds(20))
        for (_, question) in open.sorted(by: { $0.key < $1.key }) where question.sent + .seconds(11) < world.time {
            violate("no answer to \(question.what), asked at \(Trace.seconds(question.sent))")
        }
    }

    /// What is still at work comes to its end without a network, so that nothing of this life is left in memory.
    private func end() {
        isOver = true
        for node in nodes { node.kill() }
        world.run(until: world.time + .seconds(150))
    }

    /// All nodes know the same definitions.
    private func checkAgreement() {
        let digests = Set(aliveRuns.map { run in run.cluster.readRegistry { $0.digest } })
        if digests.count > 1 { violate("the nodes know different definitions") }
    }

    /// Now everything works, at every node.
    private func checkProgress() {
        demandsProgress = true
        world.run(until: world.time + .seconds(12))
        for frame in frames where !frame.isDropped && frame.isKnown && !frame.isDoubtful {
            for run in aliveRuns where knows(run, frame.name) { ask(frame, at: run, requires: "all") }
        }
        for job in jobs { for run in aliveRuns { ask(job, at: run, knowsAll: true) } }
        for frame in struckFrames { for run in aliveRuns { ask(frame, at: run, requires: "all") } }
        checkStruckFrames()
        checkReusedFrames()
        checkAgreement()
        world.run(until: world.time + .seconds(5))
        for kind in ["set", "get", "add", "append", "job", "getInParallel"]
        where answeredInTheEnd["\(kind) answered", default: 0] == 0 {
            violate("no \(kind) was answered")
        }
        isQuiet = true
        world.run(until: world.time + .seconds(12))
        endConflicts()
        world.run(until: world.time + .seconds(4))
        checkConflictsEnded()
        checkReusedFrames()
        checkAgreement()
        world.run(until: world.time + .seconds(4))
    }
}
