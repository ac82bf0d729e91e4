// Jobs by name: defined and dropped at any node, on both sides of cuts, and run; which definitions may answer, and where.

import Coordination
import Engine
import Gather

/// A definition of a job's name, or a drop of what there is.
final class JobChange {
    enum State { case underWay, acknowledged, unclear, refused }

    let number: Int
    let isDrop: Bool
    let node: String
    let sent: UInt64
    var ended: UInt64 = .max
    var state = State.underWay
    /// Definitions that its node knew when it was sent, and what those replaced: it replaces all of them, and those that came to
    /// its node since.
    let replaced: Set<Int>
    /// Its node may have gone before any other knew of it.
    var mayBeLost = false

    init(_ number: Int, isDrop: Bool, node: String, sent: UInt64, replaced: Set<Int>) {
        self.number = number
        self.isDrop = isDrop
        self.node = node
        self.sent = sent
        self.replaced = replaced
    }

    /// It is there, or was, on its node for as long as that runs, and in the end on all.
    var isSafe: Bool { state == .acknowledged && !mayBeLost }
}

final class JobHistory {
    let name: String
    private(set) var changes: [Int: JobChange] = [:]
    /// By run of a node: changes that it knows for certain.
    private var known: [ObjectIdentifier: Set<Int>] = [:]

    init(_ name: String) { self.name = name }

    /// `known`: the definitions that the node has at this moment.
    func begin(_ number: Int, isDrop: Bool, node: String, at time: UInt64, known: [Int]) -> JobChange {
        let replaced = known.reduce(into: Set(known)) { $0.formUnion(changes[$1]?.replaced ?? []) }
        let change = JobChange(number, isDrop: isDrop, node: node, sent: time, replaced: replaced)
        changes[number] = change
        return change
    }

    func acknowledged(_ change: JobChange, by run: NodeRunning, at time: UInt64) {
        (change.state, change.ended) = (.acknowledged, time)
        known[ObjectIdentifier(run), default: []].insert(change.number)
    }

    /// A process ended. `isCalm`: everybody had the time to hear of what it knew before `known`.
    func lost(_ run: NodeRunning, isCalm: Bool, known: UInt64) {
        self.known[ObjectIdentifier(run)] = nil
        for change in changes.values where change.node == run.node.name {
            if !isCalm || change.state != .acknowledged || change.ended > known { change.mayBeLost = true }
        }
    }

    /// Why a node can't answer with this definition; nil when it can. `certain`: what it knew when it was asked.
    func problem(with number: Int, certain: Set<Int>) -> String? {
        guard let change = changes[number], !change.isDrop else { return "\(number), which nobody has defined" }
        if change.state == .refused { return "\(number), which was refused" }
        let later = certain.filter { changes[$0]?.replaced.contains(number) ?? false }
        guard let last = later.max() else { return nil }
        return "\(number), which \(last) has replaced"
    }

    /// Why there can't be several definitions of this name; nil when two of them may not have seen each other.
    func problemWithConflict(certain: Set<Int>) -> String? {
        let living = changes.values.filter { change in
            !change.isDrop && change.state != .refused
                && !certain.contains { changes[$0]?.replaced.contains(change.number) ?? false }
        }
        let isPossible = living.contains { one in
            living.contains { $0 !== one && !$0.replaced.contains(one.number) && !one.replaced.contains($0.number) }
        }
        return isPossible ? nil : "a conflict of definitions that have seen each other"
    }

    /// Why there can't be no job of this name in the end; nil when there can.
    var problemWithNone: String? {
        let living = changes.values.filter { change in
            // One that was under way beside it may have come behind it, and replaced it without having known it when it was sent.
            !change.isDrop && change.isSafe
                && !changes.values.contains { $0 !== change && $0.state != .refused && $0.ended >= change.sent }
        }
        return living.map(\.number).max().map { "none, and \($0) was defined last" }
    }

    /// What every node knows once all is well.
    var safe: Set<Int> { Set(changes.values.filter(\.isSafe).map(\.number)) }

    func certain(_ run: NodeRunning) -> Set<Int> { known[ObjectIdentifier(run)] ?? [] }

    func saw(_ number: Int, by run: NodeRunning) { known[ObjectIdentifier(run), default: []].insert(number) }
}

extension Simulation {
    func tendJob(_ client: Client, _ run: NodeRunning, _ done: @escaping () -> Void) {
        let job = jobs[chance.below(jobs.count)]
        switch chance.below(10) {
        case 0..<4: define(job, client, run, done)
        case 4: dropJob(job, client, run, done)
        default: runByName(job, run, done)
        }
    }

    /// The numbers that the node has under the name.
    private func numbers(_ job: JobHistory, _ run: NodeRunning) -> [Int] {
        let named = run.cluster.readRegistry { $0.job(named: job.name) }
        var found: [[UInt8]] = []
        switch named {
        case .none: break
        case .one(let one): found = [one.definition.source]
        case .conflict(let several): found = several.map(\.definition.source)
        }
        return found.compactMap { source in
            String(decoding: source, as: UTF8.self).split(separator: " ").compactMap { Int($0) }.first
        }
    }

    /// A conflict ends with a definition that has seen all of it, a frame's with drops of all but one.
    func endConflicts() {
        guard let run = aliveRuns.first else { return }
        for job in jobs { define(job, clients[0], run) {} }
        for frame in reusedFrames { dropAllButOne(frame, clients[0], run) }
    }

    /// Nobody changes anything any more, and all have heard of the end of conflicts.
    func checkConflictsEnded() {
        for run in aliveRuns {
            for name in jobs.map(\.name) {
                guard case .one = run.cluster.readRegistry({ $0.job(named: name) }) else {
                    violate("\(name) at \(run.node.name) is none, or in conflict, after it was defined anew")
                    continue
                }
            }
            for frame in reusedFrames where frameIDs(frame.name, run).count > 1 {
                violate("\(frame.name) at \(run.node.name) is in conflict after all but one were dropped")
            }
        }
    }

    private func define(_ job: JobHistory, _ client: Client, _ run: NodeRunning, _ done: @escaping () -> Void) {
        let number = asked("define \(job.name)")
        let change = job.begin(
            number, isDrop: false, node: run.node.name, at: world.time, known: numbers(job, run))
        let text = "function run() return \(number) end"
        client.send("set job:define:\(job.name) 0 0 \(text.utf8.count)\r\n\(text)\r\n", to: run) {
            [unowned self] reply in
            ended(change, of: job, run, "define", reply, isGood: reply == .line("STORED"))
            done()
        }
    }

    private func dropJob(_ job: JobHistory, _ client: Client, _ run: NodeRunning, _ done: @escaping () -> Void) {
        let known = numbers(job, run)
        guard !known.isEmpty else { return done() }
        let number = asked("drop job \(job.name)")
        let change = job.begin(number, isDrop: true, node: run.node.name, at: world.time, known: known)
        let key = "job:drop:\(job.name)"
        client.send("get \(key)\r\n", to: run) { [unowned self] reply in
            ended(change, of: job, run, "drop job", reply, isGood: reply == .values([key: Array("DROPPED".utf8)]))
            done()
        }
    }

    private func ended(
        _ change: JobChange, of job: JobHistory, _ run: NodeRunning, _ kind: String, _ reply: Reply, isGood: Bool
    ) {
        wasAnswered(change.number, kind, isGood)
        if isGood {
            // Of a run that has ended meanwhile nothing is certain any more.
            if run.isAlive { job.acknowledged(change, by: run, at: world.time) } else { change.state = .unclear }
        } else {
            change.state = reply != .lost && reply.isError ? .refused : .unclear
            // Somebody else may have dropped it first.
            if demandsProgress, !change.isDrop { violate("\(kind) \(job.name) at \(run.node.name): \(reply)") }
        }
    }

    private func runByName(_ job: JobHistory, _ run: NodeRunning, _ done: @escaping () -> Void) {
        ask(job, at: run, knowsAll: false, done)
    }

    /// `knowsAll`: every node has heard of everything.
    func ask(_ job: JobHistory, at run: NodeRunning, knowsAll: Bool, _ done: @escaping () -> Void = {}) {
        let number = asked("run \(job.name)")
        let certain = knowsAll ? job.safe : job.certain(run)
        let (begin, milliseconds) = (world.time, 3_000)
        let connection = command(run)
        let request = PeerRequest.fetch(
            key: Array("job:run:\(job.name):timeout=\(milliseconds)".utf8),
            deadlineMilliseconds: UInt32(milliseconds + 500), byJob: false)
        connection.ask(request, milliseconds: milliseconds + 500) { [unowned self] result in
            let envelope = try? result.get()
            wasAnswered(number, "run", envelope?["status"] == .string("complete"))
            checkTime("run", run, since: begin, milliseconds: milliseconds + 500)
            judge(result, job, run, certain, knowsAll)
            close(connection)
            done()
        }
    }

    private func judge(
        _ result: Result<Value, Failure>, _ job: JobHistory, _ run: NodeRunning, _ certain: Set<Int>, _ knowsAll: Bool
    ) {
        let problem: String?
        switch result {
        case .success(let envelope):
            guard case .int(let found)? = envelope["result"] else {
                if demandsProgress { violate("run \(job.name) at \(run.node.name): \(envelope)") }
                return
            }
            problem = job.problem(with: Int(found), certain: certain)
            if problem == nil, run.isAlive { job.saw(Int(found), by: run) }
        case .failure(let failure):
            guard knowsAll || failure.reason == .conflict else { return }
            switch failure.reason {
            case .conflict: problem = job.problemWithConflict(certain: certain)
            case .scriptError: problem = job.problemWithNone
            default: problem = failure.message
            }
        }
        if let problem { violate("run \(job.name) at \(run.node.name) answers \(problem)") }
    }
}
