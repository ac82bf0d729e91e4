// What this node answers about loads that others coordinate, and how it finds out what became of those that it is in doubt of.

import Coordination
import Engine

extension Cluster {
    /// This run of this node.
    var run: NodeRun { NodeRun(name: selfName, incarnation: incarnation) }

    /// Answers a coordinator: `prepareLoad`, `decideLoad`. Takes as long as it takes to seal some chunks.
    func answerAboutLoad(_ verb: ControlVerb, _ argument: Value, from coordinator: NodeRun) -> Result<Value, Failure> {
        do throws(Failure) {
            let load = try LoadMessage.number(argument)
            if verb == .prepareLoad {
                let others = try LoadMessage.runs(argument, "others")
                let (rows, count) = try loads.prepare(load, others: others, from: coordinator)
                return .success(
                    .object([
                        "incarnation": .int(Int64(bitPattern: incarnation)), "rows": .int(Int64(rows)),
                        "count": .int(Int64(count)),
                    ]))
            }
            let isCommit = argument["commit"] == .bool(true)
            let counts = isCommit ? try LoadMessage.counts(argument) : []
            // Known before the rows are seen: of an answer that has them no node's part is ever missed unnoticed.
            loads.decide(load, commit: isCommit, by: coordinator) {
                if let id = DefinitionID(value: argument["id"]) { note([(id, counts)]) }
            }
            return .success(.object(["incarnation": .int(Int64(bitPattern: incarnation))]))
        } catch {
            return .failure(error)
        }
    }

    /// What others will ever have had of frames, in case that one of them is gone before it has said so itself. Who shows a load's
    /// rows has to know these first, whoever it was that said that the load is committed.
    /// `id`: of the frame when the load began; one of the same name that is made later is another.
    func note(_ said: [(id: DefinitionID, counts: [ParticipantCount])]) {
        changeRegistry { registry in
            for (id, counts) in said {
                guard let frame = registry.frame(id) else { continue }
                for (run, count) in counts where run.name != selfName && topology.index(of: run.name) != nil {
                    let known = frame.acknowledged.rows[run.name]?[run.incarnation] ?? 0
                    guard count > known else { continue }
                    registry.acknowledge(count, frame: id, node: run.name, incarnation: run.incarnation)
                }
            }
        }
        publishSoon()
    }

    /// `{load, frame, id}` from a node: this one takes rows of the load from now on, into that very frame.
    func beginLoad(_ argument: Value, from coordinator: NodeRun) async throws(Failure) -> Value {
        let load = try LoadMessage.number(argument)
        guard let name = argument["frame"]?.text, let id = DefinitionID(value: argument["id"]) else {
            throw ClusterNode.malformed
        }
        // The coordinator knows of it; this node may have been away when it was made.
        if frame(id) == nil { await publish() }
        let entry = try FrameService.require(name, self)
        guard entry.id == id else { throw Failure(.miss, "frame '\(name)' was dropped, or made anew, meanwhile") }
        try loads.begin(load, into: try hold(entry), id: id, coordinator: coordinator)
        return .object(["incarnation": .int(Int64(bitPattern: incarnation))])
    }

    // MARK: Doubt

    /// `{load, id, gone, milliseconds}` → `{incarnation, state, counts}`; the last one of a load that is committed into a frame, of that
    /// `id`, that still exists. `coordinated`: what this node says as the coordinator, where it is.
    func answerDoubt(_ argument: Value, coordinated: LoadWord?) throws(Failure) -> Value {
        let load = try LoadMessage.number(argument)
        guard case .int(let milliseconds)? = argument["milliseconds"], (0...Int64(Int32.max)).contains(milliseconds)
        else {
            throw ClusterNode.malformed
        }
        let gone = Set(try LoadMessage.runs(argument, "gone"))
        let word =
            coordinated
            ?? word(
                of: loads.asked(load, gone: gone, begunMilliseconds: Int(milliseconds)),
                into: DefinitionID(value: argument["id"]))
        var answer = [
            Value.Pair(.string("incarnation"), .int(Int64(bitPattern: incarnation))),
            Value.Pair(.string("state"), .int(Int64(word.state.rawValue))),
        ]
        if let counts = word.counts { answer.append(Value.Pair(.string("counts"), LoadMessage.value(counts))) }
        return .map(answer)
    }

    /// As a participant says it, who knows the counts since before it showed its own rows.
    private func word(of state: LoadState, into id: DefinitionID?) -> LoadWord {
        guard state == .committed, let id else { return LoadWord(state: state) }
        return LoadWord(state: state, counts: currentRegistry().frame(id)?.acknowledged.counts)
    }

    /// Sends a question; what follows from the answer may be another one. `own` answers what this node itself is asked.
    func resolve(_ question: LoadParticipants.Question, own: @escaping @Sendable (UInt64) -> LoadWord?) {
        let entry = question.entry
        let proceed: @Sendable (LoadParticipant.Event, [ParticipantCount]) -> Void = { event, counts in
            let more = self.loads.learned(event, entry) { self.note([(entry.id, counts)]) }
            for next in more { self.resolve(next, own: own) }
        }
        if question.node == selfName {
            let word = own(entry.number) ?? LoadWord(state: .unknown)
            return proceed(
                .learned(selfName, incarnation: incarnation, word.state, knowing: question.gone), word.counts ?? [])
        }
        guard let node = topology.index(of: question.node), let links = anyLinks else { return }
        let argument = Value.object([
            "load": LoadMessage.value(entry.number), "id": entry.id.value, "gone": LoadMessage.value(question.gone),
            "milliseconds": .int(Int64(min(environment.now.milliseconds(since: entry.begun), Int(Int32.max)))),
        ])
        links.send(
            .control(verb: .askLoad, argument: argument), to: node,
            deadline: environment.deadline(afterMilliseconds: 1_000)
        ) {
            reply in
            guard let answer = try? Router.value(of: reply).get(), case .int(let incarnation)? = answer["incarnation"],
                case .int(let raw)? = answer["state"],
                let state = UInt8(exactly: raw).flatMap(LoadState.init(rawValue:))
            else { return proceed(.notReached(question.node), []) }
            // Without them the rows could be shown, and nobody would miss the others' once these are gone: it goes on being asked.
            let counts = try? LoadMessage.counts(answer)
            guard counts != nil || state != .committed else { return proceed(.notReached(question.node), []) }
            proceed(
                .learned(question.node, incarnation: UInt64(bitPattern: incarnation), state, knowing: question.gone),
                counts ?? [])
        }
    }
}
