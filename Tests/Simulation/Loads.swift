// Loads as the command line sends them: begun, staged block by block, committed; or given up on the way, or struck by a fault.

import Coordination
import Engine
import Gather

extension Simulation {
    func load(_ run: NodeRunning, _ done: @escaping () -> Void) {
        let frame = chance.chance(30) ? reusedFrame() : currentFrame
        guard let frame, knows(run, frame.name) else { return done() }
        let load = SimulatedLoad(self, frame, run, number: asked("load \(frame.name)"), done)
        load.begin()
    }

    /// One after the other, until faults are over.
    func strikeLoads() {
        world.after(.milliseconds(500 + chance.below(3_000)), of: nil) { [unowned self] in
            guard violation == nil, !isOver, !demandsProgress else { return }
            guard let run = anyRun() else { return strikeLoads() }
            loadAlone(run) { [unowned self] in strikeLoads() }
        }
    }

    /// A load alone in a frame of its own, struck at its end: whatever goes with a node that had no rows of it, the frame has all or
    /// none, and nothing is missing.
    private func loadAlone(_ run: NodeRunning, _ done: @escaping () -> Void) {
        struckCount += 1
        let frame = FrameHistory("s\(struckCount)")
        create(frame, at: run) { [unowned self] in
            world.after(.milliseconds(300), of: nil) { [self] in
                guard run.isAlive, aliveRuns.count == nodes.count, aliveRuns.allSatisfy({ knows($0, frame.name) })
                else {
                    return done()
                }
                struckFrames.append(frame)
                let load = SimulatedLoad(self, frame, run, number: asked("load \(frame.name)"), isStruck: true, done)
                load.begin()
            }
        }
    }
}

final class SimulatedLoad {
    private let simulation: Simulation
    private let frame: FrameHistory
    private let run: NodeRunning
    private let number: Int
    private let connection: CommandConnection
    private let done: () -> Void
    private let block: RowBlock
    private var left: [Int]
    private var participants: [String] = []
    private var staged = 0
    private var givesUp: Bool
    private let isStruck: Bool

    init(
        _ simulation: Simulation, _ frame: FrameHistory, _ run: NodeRunning, number: Int, isStruck: Bool = false,
        _ done: @escaping () -> Void
    ) {
        self.isStruck = isStruck
        self.simulation = simulation
        self.frame = frame
        self.run = run
        self.number = number
        self.done = done
        connection = simulation.command(run)
        left = (0..<(1 + simulation.chance.below(5))).map { _ in 1 + simulation.chance.below(80) }
        givesUp = !isStruck && simulation.chance.chance(15)
        block = RowBlock(
            "L\(number)", rows: left.reduce(0, +), sent: simulation.world.time,
            nodes: Set(simulation.nodes.map(\.name)), isLoad: true)
    }

    private var argument: Value { .object(["load": .int(Int64(number)), "frame": .string(frame.name)]) }

    func begin() {
        frame.add(block)
        let before = simulation.frameIDs(frame.name, run)
        connection.control(.beginLoad, argument) { [self] result in
            switch result {
            case .failure: end(.refused)
            case .success(let answer):
                if simulation.frameIDs(frame.name, run) == before, before.count == 1 { block.frame = before[0] }
                if case .array(let leftOut)? = answer["leftOut"] { note(leftOut: leftOut) }
                stage()
            }
        }
    }

    /// Blocks go to the participants in turn.
    private func note(leftOut: [Value]) {
        let names = Set(leftOut.compactMap { $0["name"]?.text })
        participants = simulation.nodes.map(\.name).filter { !names.contains($0) }
        block.nodes = Set(participants.prefix(left.count))
    }

    private func stage() {
        guard let rows = left.first else { return commit() }
        if givesUp, left.count == 1 { return giveUp() }
        left.removeFirst()
        let text = (0..<rows).map { "{\"block\":\"\(block.name)\",\"id\":\(staged + $0)}\n" }.joined()
        let request = StageRequest(
            load: UInt64(number), frame: frame.name, format: .ndjson, firstLine: UInt64(staged + 1),
            skipsBadRows: false,
            bytes: Array(text.utf8))
        staged += rows
        connection.ask(.stage(request), milliseconds: 8_000) { [self] result in
            if case .success = result { return stage() }
            giveUp()
        }
    }

    /// Nothing of it is ever seen.
    private func giveUp() {
        guard simulation.chance.chance(50) else { return end(.refused) }
        connection.control(.abortLoad, argument) { [self] _ in end(.refused) }
    }

    private func commit() {
        // What nodes do in doubt would be seen too seldom if faults came at any time alone.
        if !simulation.demandsProgress {
            simulation.faults.strike(load: run, participants: participants, isCertain: isStruck) { [self] answered in
                guard run.isAlive else { return answered() }
                simulation.ask(frame, at: run, requires: "all", answered)
            }
        }
        connection.control(.commitLoad, argument, milliseconds: 9_000) { [self] result in
            switch result {
            case .success: end(.acknowledged)
            case .failure(let failure):
                if simulation.demandsProgress, !(frame is ReusedFrameHistory) {
                    simulation.violate("a load is not committed: \(failure.message)")
                }
                end(.unclear)
            }
        }
    }

    private func end(_ state: RowBlock.State) {
        block.state = state
        block.ended = simulation.world.time
        simulation.wasAnswered(number, "load", state == .acknowledged)
        simulation.close(connection)
        done()
    }
}
