// `shard` in a job's map: its frames and the running of plans on them, its keys, its objects.

/// `shard:frame(name)`, `shard:keys(prefix)`, `shard:objects(type)`.
final class ShardHandle: LuaHostObject {
    static let luaTypeName = "shard"

    let shard: Shard
    var index: Int { shard.index }
    let frames: FrameCatalog
    let coverage: ScanCoverage
    let deadline: Deadline
    let pool: ComputePool?
    private let answerNote: AnswerNote
    /// Where the script is, see `LuaState.position`.
    private let position: () -> String
    /// Told that the map is about this shard from now on; nil once it is.
    private var whenApart: (() -> Void)?
    /// A plan is pending, or was.
    private var hasPlan = false

    /// What slices go on from.
    let cursors = ShardCursors()

    /// - Parameter whenApart: nil for a map that is about one shard from the beginning. Else it stands for all shards of its node,
    ///   until it looks at what this one has; that is called once, then.
    init(
        shard: Shard, frames: FrameCatalog, coverage: ScanCoverage, deadline: Deadline, pool: ComputePool?,
        answerNote: AnswerNote, position: @escaping () -> String, whenApart: (() -> Void)?
    ) {
        self.position = position
        self.whenApart = whenApart
        self.pool = pool
        self.answerNote = answerNote
        self.shard = shard
        self.frames = frames
        self.coverage = coverage
        self.deadline = deadline
    }

    static var luaMethods: [String: LuaMethod] {
        [
            "frame": LuaMethod(ShardHandle.self, LuaForm("shard:frame(name)", 1)) { shard, arguments throws(Failure) in
                guard let name = arguments.first?.plain?.text else {
                    throw Failure(.scriptError, "shard:frame(name) takes the frame's name")
                }
                _ = shard.coverage.look(at: try shard.require(frame: name), shard: shard.index)
                return .object(FrameQuery(shard: shard, frame: name))
            },
            "keys": LuaMethod(ShardHandle.self, LuaForm("shard:keys(prefix, cursor)", 0...2)) {
                shard, arguments throws(Failure) in
                shard.answerNote.noteMore()
                return try shard.keys(try arguments.plain(in: "keys"))
            },
            "objects": LuaMethod(ShardHandle.self, LuaForm("shard:objects(type, cursor)", 1...2)) {
                shard, arguments throws(Failure) in
                shard.answerNote.noteMore()
                return try shard.objects(try arguments.plain(in: "objects"))
            },
        ]
    }

    /// `share`: of the script that asks.
    func control(helpers: ComputePool?, _ share: ScriptShare) -> ScanControl {
        let coverage = coverage
        return ScanControl(
            deadline: deadline, candidates: coverage.candidates, helpers: helpers, share: share,
            isCancelled: { coverage.isCancelled },
            progress: { coverage.noteDone(rows: $0) })
    }

    var standsForAll: Bool { whenApart != nil }

    /// To be called before anything of this shard is looked at.
    func goApart() {
        guard let whenApart else { return }
        self.whenApart = nil
        whenApart()
    }

    /// Runs a plan on this shard's part of its frame; the first one of a map that stands for all shards only if its answer is
    /// asked for.
    func execute(_ plan: Plan, _ share: ScriptShare) throws(Failure) -> PartialHandle {
        let snapshot = coverage.look(at: try require(frame: plan.frame), shard: index)
        let compiled = try CompiledPlan(plan, schema: snapshot.schema)
        if case .groups = compiled.output, standsForAll, !hasPlan {
            hasPlan = true
            return PartialHandle(PendingPlan(compiled, self, share, position: position()), answerNote)
        }
        goApart()
        return PartialHandle(try scan(compiled, snapshot, share), answerNote)
    }

    /// A script may go on where there is none.
    func require(frame name: String) throws(Failure) -> Frame {
        do throws(Failure) { return try frames.require(name) } catch {
            answerNote.noteMore()
            throw error
        }
    }

    /// What a plan finds in this shard's part of its frame.
    func scanPart(_ plan: CompiledPlan, _ share: ScriptShare) throws(Failure) -> Partial {
        try scan(plan, coverage.part(ofFrame: plan.plan.frame, shard: index), share)
    }

    /// What a plan finds in all shards' parts of its frame.
    func scanAllParts(_ plan: CompiledPlan, _ share: ScriptShare) throws(Failure) -> Partial {
        let (snapshot, shards) = coverage.lookAtAllParts(ofFrame: plan.plan.frame)
        return try scan(plan, snapshot, shards: shards, share)
    }

    private func scan(
        _ plan: CompiledPlan, _ snapshot: FrameSnapshot, shards: Int = 1, _ share: ScriptShare
    ) throws(Failure) -> Partial {
        if coverage.explains {
            coverage.note(explanation: PlanExplanation.describe(plan, on: snapshot, shards: shards))
            return Partial(shape: plan.shape)
        }
        let (partial, scanned) = try PlanExecutor.execute(plan, on: snapshot, control: control(helpers: pool, share))
        coverage.add(scanned)
        return partial
    }
}
