// What the clients of a simulation do, and how each answer is judged.

import Coordination
import Engine
import Gather

/// One counter, made anew under another name whenever its node loses it.
final class CounterHistory {
    private let base: String
    let owner: SimulatedNode
    private var generation = 0
    /// Units that were added for certain; that may have been added.
    var acknowledged = 0
    var possible = 0
    var isMade = false
    var isBusy = false

    init(_ base: String, owner: SimulatedNode) {
        self.base = base
        self.owner = owner
    }

    /// The braces keep it on its node.
    var name: String { generation == 0 ? base : "{\(base)}\(generation)" }
    var run: Int { generation }

    func startAnew() {
        generation += 1
        (acknowledged, possible, isMade, isBusy) = (0, 0, false, false)
    }
}

extension Simulation {
    private static let jobSource = """
        job.params = { frame = "" }
        function map(shard, p)
          return shard:frame(p.frame):group("block"):agg { n = count() }
        end
        """

    /// How long a forwarded command may have, by the slowest clock.
    private static let commandOver = UInt64.milliseconds(1_060)
    private static let itemMillisecondsMax = 1_300

    func think(_ number: Int) {
        guard violation == nil, !isOver, !isQuiet else { return }
        let pause = UInt64.milliseconds(5 + chance.below(chance.chance(20) ? 600 : 120))
        world.after(pause, of: nil) { [unowned self] in
            guard violation == nil, !isOver, !isQuiet else { return }
            act(number)
        }
    }

    private func act(_ number: Int) {
        guard let run = anyRun() else { return think(number) }
        let client = clients[number]
        let done: () -> Void = { [unowned self] in think(number) }
        switch chance.below(100) {
        case 0..<20: set(client, run, done)
        case 20..<36: get(client, run, count: 1, done)
        case 36..<43: get(client, run, count: 2 + chance.below(10), done)
        case 43..<50: setAndGet(client, run, done)
        case 50..<62: add(client, run, done)
        case 62..<74: append(client, run, done)
        case 74..<85: runJob(run, done)
        case 85..<89: getInParallel(run, done)
        case 89..<94: tendJob(client, run, done)
        case 94: dropReused(client, run, done)
        default: load(run, done)
        }
    }

    // MARK: Items

    private func beginWrite() -> (ItemHistory, ItemWrite)? {
        let item = items[chance.below(items.count)]
        guard !item.isBeingWritten else { return nil }
        item.isBeingWritten = true
        item.forget(before: world.time - min(world.time, .seconds(120)))
        let write = ItemWrite("v\(asked("set \(item.key)"))", sent: world.time)
        item.begin(write)
        return (item, write)
    }

    private static func command(_ item: ItemHistory, _ write: ItemWrite) -> String {
        "set \(item.key) 0 0 \(write.value.utf8.count)\r\n\(write.value)\r\n"
    }

    private func set(_ client: Client, _ run: NodeRunning, _ done: @escaping () -> Void) {
        guard let (item, write) = beginWrite() else { return done() }
        var taken: UInt64?
        client.send(Self.command(item, write), to: run, taken: { [unowned self] in taken = world.time }) {
            [unowned self] reply in
            ended(item, write, taken, run, reply)
            done()
        }
    }

    private func ended(_ item: ItemHistory, _ write: ItemWrite, _ taken: UInt64?, _ run: NodeRunning, _ reply: Reply) {
        wasAnswered(Int(write.value.dropFirst()) ?? 0, "set", reply == .line("STORED"))
        item.isBeingWritten = false
        if let taken { checkTime("set", run, since: taken, milliseconds: Self.itemMillisecondsMax) }
        if reply == .line("STORED") {
            write.isAcknowledged = true
            write.over = world.time
        } else if !reply.isError {
            violate("set \(item.key): \(reply)")
        } else {
            // Never read by the node, or read and perhaps done by the end of its time.
            write.over = taken.map { $0 + Self.commandOver } ?? write.sent
            if demandsProgress { violate("set \(item.key) at \(run.node.name): \(reply)") }
        }
    }

    private func get(_ client: Client, _ run: NodeRunning, count: Int, _ done: @escaping () -> Void) {
        var wanted: [ItemHistory] = []
        for _ in 0..<count {
            let item = items[chance.below(items.count)]
            if !wanted.contains(where: { $0 === item }) { wanted.append(item) }
        }
        let number = asked("get \(wanted.map(\.key).joined(separator: " "))")
        let begin = world.time
        var taken: UInt64?
        client.send(
            "get \(wanted.map(\.key).joined(separator: " "))\r\n", to: run,
            taken: { [unowned self] in taken = world.time }
        ) { [unowned self] reply in
            read(wanted, number, run, from: begin, taken, reply)
            done()
        }
    }

    private func read(
        _ wanted: [ItemHistory], _ number: Int, _ run: NodeRunning, from begin: UInt64, _ taken: UInt64?, _ reply: Reply
    ) {
        wasAnswered(number, "get", !reply.isError)
        if let taken { checkTime("get", run, since: taken, milliseconds: Self.itemMillisecondsMax) }
        guard case .values(let values) = reply else {
            if !reply.isError { violate("get: \(reply)") }
            if demandsProgress { violate("get at \(run.node.name): \(reply)") }
            return
        }
        for item in wanted {
            let value = values[item.key].map { String(decoding: $0, as: UTF8.self) }
            // Of several keys, those whose node can't be asked are left out like misses.
            if value == nil, wanted.count > 1, !demandsProgress { continue }
            if let problem = item.problem(with: value, from: begin, to: world.time) {
                violate("get \(item.key) at \(run.node.name): \(problem)")
            }
        }
    }

    /// In one packet: the second sees the first.
    private func setAndGet(_ client: Client, _ run: NodeRunning, _ done: @escaping () -> Void) {
        guard let (item, write) = beginWrite() else { return done() }
        let number = asked("get \(item.key) behind its set")
        var taken: UInt64?
        var middle = world.time
        client.send(
            [Self.command(item, write), "get \(item.key)\r\n"], to: run,
            taken: { [unowned self] in taken = world.time },
            replies: [
                { [unowned self] reply in
                    middle = world.time
                    ended(item, write, taken, run, reply)
                },
                { [unowned self] reply in
                    read([item], number, run, from: middle, nil, reply)
                    done()
                },
            ])
    }

    // MARK: Counters

    private func add(_ client: Client, _ run: NodeRunning, _ done: @escaping () -> Void) {
        let counter = counters[chance.below(counters.count)]
        let generation = counter.run
        guard counter.isMade else {
            guard !counter.isBusy else { return done() }
            counter.isBusy = true
            let number = asked("new \(counter.name)")
            client.send("get counter:new:\(counter.name):0\r\n", to: run) { [unowned self] reply in
                wasAnswered(number, "new", !reply.isError)
                if counter.run == generation {
                    // One that may have been made, or not, is left alone.
                    if case .values = reply { counter.isMade = true } else { counter.startAnew() }
                }
                done()
            }
            return
        }
        let number = asked("add \(counter.name)")
        let least = counter.acknowledged
        counter.possible += 1
        let key = "counter:add:\(counter.name):1"
        var taken: UInt64?
        client.send("get \(key)\r\n", to: run, taken: { [unowned self] in taken = world.time }) {
            [unowned self] reply in
            wasAnswered(number, "add", !reply.isError)
            if let taken { checkTime("add", run, since: taken, milliseconds: Self.itemMillisecondsMax) }
            if demandsProgress, reply.isError { violate("add at \(run.node.name): \(reply)") }
            if counter.run == generation, case .values(let values) = reply {
                let text = values[key].map { String(decoding: $0, as: UTF8.self) } ?? ""
                guard let total = Int(text) else { return violate("add \(counter.name): \(text)") }
                counter.acknowledged += 1
                if total < least + 1 || total > counter.possible {
                    violate("\(counter.name) is \(total), and \(least + 1) to \(counter.possible) were added")
                }
            }
            done()
        }
    }

    // MARK: Frames

    private func append(_ client: Client, _ run: NodeRunning, _ done: @escaping () -> Void) {
        let known = currentFrame.flatMap { knows(run, $0.name) ? $0 : nil }
        let other = chance.chance(40) ? (chance.chance(50) ? looseFrame() : reusedFrame()) : nil
        guard let frame = other ?? known else { return done() }
        let number = asked("append \(frame.name)")
        let rows = 1 + chance.below(chance.chance(20) ? 60 : 5)
        let block = RowBlock("A\(number)", rows: rows, sent: world.time, nodes: [run.node.name])
        frame.add(block)
        let before = frameIDs(frame.name, run)
        let text = (0..<rows).map { "{\"block\":\"\(block.name)\",\"id\":\($0)}\n" }.joined()
        client.send("set frame:append:\(frame.name) 0 0 \(text.utf8.count)\r\n\(text)\r\n", to: run) {
            [unowned self] reply in
            wasAnswered(number, "append", reply == .line("STORED"))
            block.ended = world.time
            switch reply {
            case .line("STORED"):
                block.state = .acknowledged
                if run.isAlive { block.frame = frameTaken(frame.name, run, before: before) }
            case .lost: block.state = .unclear
            default:
                block.state = reply.isError ? .refused : .unclear
                if demandsProgress, other == nil { violate("append to \(frame.name) at \(run.node.name): \(reply)") }
            }
            done()
        }
    }

    private func runJob(_ run: NodeRunning, _ done: @escaping () -> Void) {
        let others: [FrameHistory?] = [looseFrames.last, reusedFrame(), struckFrames.last]
        let other = chance.chance(50) ? others[chance.below(others.count)] : nil
        guard let frame = other ?? currentFrame else { return done() }
        ask(frame, at: run, requires: chance.chance(20) ? "any" : "all", done)
    }

    func ask(
        _ frame: FrameHistory, at run: NodeRunning, requires: String, _ done: @escaping () -> Void = {}
    ) {
        let number = asked("job \(frame.name)")
        let begin = world.time
        let milliseconds = 3_000
        var request = JobRequest(
            name: "count", source: Array(Self.jobSource.utf8), parameters: ["frame": .string(frame.name)],
            timeoutMilliseconds: milliseconds)
        request.requirement = requires == "any" ? .any : .all
        let isDemanded = demandsProgress && mustBeAnswered(frame, at: run)
        let connection = command(run)
        connection.control(.runJob, request.value, milliseconds: milliseconds + 500) { [unowned self] result in
            let status = (try? result.get())?["status"]?.text ?? "none"
            wasAnswered(number, "job", status == "complete" || status == "partial")
            checkTime("job", run, since: begin, milliseconds: milliseconds + 500)
            if let envelope = try? result.get() {
                judge(envelope, status, frame, run, from: begin)
                if isDemanded, status != "complete" {
                    let message = envelope["error"]?["message"]?.text ?? "no reason"
                    violate("job on \(frame.name) at \(run.node.name): \(message)")
                }
            }
            close(connection)
            done()
        }
    }

    /// Whether a job over it has to be complete once all is well.
    private func mustBeAnswered(_ frame: FrameHistory, at run: NodeRunning) -> Bool {
        guard knows(run, frame.name) else { return false }
        // Rows that went with a node are missed until the frame is dropped.
        let (living, isReused) = (frameIDs(frame.name, run), frame is ReusedFrameHistory)
        let hasLosses = frame.blocks.values.contains { block in
            if isReused, let id = block.frame, !living.contains(id) { return false }
            return nodes.contains { block.nodes.contains($0.name) && $0.ends.contains { $0 >= block.sent } }
        }
        if isReused { return !hasLosses }
        if struckFrames.contains(where: { $0 === frame }) { return !hasLosses }
        return frames.contains { $0 === frame } && !frame.isDropped && !frame.isDoubtful && !hasLosses
    }

    private func judge(
        _ envelope: Value, _ status: String, _ frame: FrameHistory, _ run: NodeRunning, from begin: UInt64
    ) {
        guard status == "complete" || status == "partial", !frame.isDropped else { return }
        guard case .int(let expected)? = envelope["rows"]?["expected"],
            case .int(let scanned)? = envelope["rows"]?["scanned"], case .array(let rows)? = envelope["result"]
        else { return violate("an envelope without rows: \(envelope)") }
        var counts: [String: Int] = [:]
        for row in rows {
            guard let name = row["block"]?.text, case .int(let count)? = row["n"] else {
                return violate("a row that none has asked for: \(row)")
            }
            counts[name] = Int(count)
        }
        let sum = counts.values.reduce(0, +)
        if status == "partial" {
            if sum != scanned { violate("a partial answer scanned \(scanned) rows and has \(sum)") }
            return
        }
        if let problem = frame.problem(with: counts, expected: Int(expected), scanned: Int(scanned), from: begin) {
            return violate("job on \(frame.name) at \(run.node.name) called complete: \(problem)")
        }
        frame.saw(counts, at: world.time)
    }
}
