// What a plan would do on one part of a frame, without doing it: chunks ruled out or known, forms read, kernels used.

package enum PlanExplanation {
    /// `{plan, shards, rows, chunks, pruned, cached, reads, groups, kernels}`: the plan's steps as it was asked; counts of the parts
    /// of so many shards that are scanned together; by column how it is stored; how groups are numbered; by result column what
    /// works it out.
    static func describe(_ plan: CompiledPlan, on snapshot: FrameSnapshot, shards: Int = 1) -> Value {
        let sealed = snapshot.pieces.filter { !$0.isTail }
        let setup = ScanSetup(plan, sealed, cache: snapshot.cache, control: ScanControl())
        var pruned = 0
        for piece in snapshot.pieces where setup.filter(piece) == nil { pruned += 1 }
        var cached = 0
        if let known = snapshot.known {
            let key = PartialCache.Key(plan: plan.plan, part: known.part)
            cached = known.partials.count(key, chunks: sealed.map(\.id).sorted())
        }
        var pairs: [Value.Pair] = []
        func add(_ name: String, _ value: Value) { pairs.append(Value.Pair(.string(name), value)) }
        add("plan", plan.plan.value)
        add("shards", .int(Int64(shards)))
        add("rows", .int(Int64(snapshot.rowCount)))
        add("chunks", .int(Int64(snapshot.pieces.count)))
        add("pruned", .int(Int64(pruned)))
        add("cached", .int(Int64(cached)))
        add("reads", .array(forms(plan, snapshot).map { .string($0) }))
        add("groups", .string(groups(setup)))
        add("kernels", .array(kernels(plan, setup).map { .string($0) }))
        return .map(pairs)
    }

    /// `dep_delay: packed 11`, each form of each column that is read, once.
    private static func forms(_ plan: CompiledPlan, _ snapshot: FrameSnapshot) -> [String] {
        var forms: Set<String> = []
        for case .stored(let column) in plan.sources {
            for piece in snapshot.pieces {
                guard case .chunk(let chunk) = piece else { continue }
                forms.insert("\(snapshot.schema.columns[column].name): \(chunk.encoding(column))")
            }
        }
        return forms.sorted()
    }

    private static func groups(_ setup: ScanSetup) -> String {
        guard case .groups = setup.plan.output else { return "rows as they are" }
        let numbering = GroupNumbering(
            domains: setup.domains, groupsMax: setup.groupsMax, setup.share.emptyLease(for: "a scan"))
        guard numbering.hasKeys else { return "one group" }
        guard let count = numbering.knownCount else { return "numbered by a hash table" }
        return "numbered by arithmetic, \(count) numbers"
    }

    private static func kernels(_ plan: CompiledPlan, _ setup: ScanSetup) -> [String] {
        guard case .groups(_, let shapes) = plan.shape, case .groups(_, let inputs) = plan.output else { return [] }
        return zip(shapes, inputs).map { shape, input in
            guard let slot = input.slot else { return "\(shape.name): rows counted" }
            let isDense = setup.dense(slot) != nil
            let kernel =
                switch shape.function {
                case .count: "rows counted, less nulls"
                case .sum, .avg: shape.input == .double ? "compensated sums" : "integer sums of codes"
                case .min, .max: shape.input == .string ? "ranks of strings" : "least or greatest key"
                case .variance, .stddev: "squared distances"
                case .quantile, .distinct, .topk, .topkExact:
                    isDense ? "values counted in an array, where groups allow" : "values counted by hash"
                case .histogram: "bins of \(shape.edges.count + 1)"
                case .first, .last: "least or greatest key of another column"
                }
            return "\(shape.name): \(kernel)"
        }
    }
}
