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

    /// What slices go on from.
    let cursors = ShardCursors()

    init(
        shard: Shard, frames: FrameCatalog, coverage: ScanCoverage, deadline: Deadline, pool: ComputePool?,
        answerNote: AnswerNote
    ) {
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
                _ = shard.coverage.look(at: try shard.frames.require(name), shard: shard.index)
                return .object(FrameQuery(shard: shard, frame: name))
            },
            "keys": LuaMethod(ShardHandle.self, LuaForm("shard:keys(prefix, cursor)", 0...2)) {
                shard, arguments throws(Failure) in
                try shard.keys(try arguments.plain(in: "keys"))
            },
            "objects": LuaMethod(ShardHandle.self, LuaForm("shard:objects(type, cursor)", 1...2)) {
                shard, arguments throws(Failure) in
                try shard.objects(try arguments.plain(in: "objects"))
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

    /// Runs a plan on this shard's part of its frame.
    func execute(_ plan: Plan, _ share: ScriptShare) throws(Failure) -> PartialHandle {
        let snapshot = coverage.look(at: try frames.require(plan.frame), shard: index)
        let compiled = try CompiledPlan(plan, schema: snapshot.schema)
        if coverage.explains {
            coverage.note(explanation: PlanExplanation.describe(compiled, on: snapshot))
            return PartialHandle(Partial(shape: compiled.shape), answerNote)
        }
        let (partial, scanned) = try PlanExecutor.execute(
            compiled, on: snapshot, control: control(helpers: pool, share))
        coverage.add(scanned)
        return PartialHandle(partial, answerNote)
    }
}
