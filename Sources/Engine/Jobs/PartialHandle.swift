// A partial in a script's hands: merged in the reduce, turned into sorted and limited rows in the finish.

final class PartialHandle: LuaHostObject {
    static let luaTypeName = "partial"

    private enum Content {
        /// Not run yet.
        case pending(PendingPlan)
        case partial(Partial)
        /// After the first sort, limit or having: it merges no longer.
        case selection(ResultSelection)
        case standIn(MergeTrial, MergeTrial.Role)
    }

    private var content: Content
    private let answerNote: AnswerNote

    init(_ partial: Partial, _ answerNote: AnswerNote) {
        content = .partial(partial)
        self.answerNote = answerNote
        answerNote.note(seen: partial)
    }

    init(_ plan: PendingPlan, _ answerNote: AnswerNote) {
        content = .pending(plan)
        self.answerNote = answerNote
    }

    init(_ trial: MergeTrial, _ role: MergeTrial.Role, _ answerNote: AnswerNote) {
        content = .standIn(trial, role)
        self.answerNote = answerNote
    }

    private init(_ selection: ResultSelection, _ answerNote: AnswerNote) {
        content = .selection(selection)
        self.answerNote = answerNote
    }

    /// What it was made of has it too, mostly; what this one alone keeps is that of a partial.
    var leasedBytes: Int {
        switch content {
        case .partial(let partial): partial.lease?.bytes ?? 0
        case .selection(let selection): selection.leasedBytes
        case .pending, .standIn: 0
        }
    }

    /// A new handle on changed rows.
    private func with(_ change: (inout ResultSelection) throws(Failure) -> Void) throws(Failure) -> LuaResult {
        var rows = try selection()
        try change(&rows)
        return .object(PartialHandle(rows, answerNote))
    }

    private static let sortForm = LuaForm("sort(column, \"asc\" or \"desc\")", 1...2)
    private static let havingForm = LuaForm("having(column, op, value)", 2...3)

    static var luaMethods: [String: LuaMethod] {
        [
            "merge": LuaMethod(PartialHandle.self, LuaForm("a:merge(b)", 1)) {
                handle, arguments, pace throws(Failure) in
                let other = arguments[0].object(as: PartialHandle.self)
                if let sum = handle.mergedOnTrial(with: other) { return .object(sum) }
                guard let other,
                    case .aggregate(var mine) = try handle.partial(), case .aggregate(let theirs) = try other.partial()
                else { throw Failure(.scriptError, "a:merge(b) takes another partial") }
                try mine.merge(theirs, pace)
                return .object(PartialHandle(mine, handle.answerNote))
            },
            "sort": LuaMethod(PartialHandle.self, sortForm) { handle, arguments throws(Failure) in
                let words = try arguments.plain(in: "sort")
                let direction = words.count > 1 ? words[1].text : "asc"
                guard let column = words[0].text, direction == "asc" || direction == "desc" else {
                    throw Failure(.scriptError, "\(sortForm.text) takes a column of the result")
                }
                return try handle.with { (rows: inout ResultSelection) throws(Failure) in
                    try rows.sort(column, ascending: direction == "asc")
                }
            },
            "limit": LuaMethod(PartialHandle.self, LuaForm("limit(n)", 1)) { handle, arguments, pace throws(Failure) in
                guard let count = arguments[0].plain?.wholeNumber, count >= 0 else {
                    throw Failure(.scriptError, "limit(n) takes a whole number that is not negative")
                }
                return try handle.with { (rows: inout ResultSelection) throws(Failure) in
                    try rows.limit(Int(count), pace)
                }
            },
            "having": LuaMethod(PartialHandle.self, havingForm) { handle, arguments, pace throws(Failure) in
                let words = try arguments.plain(in: "having")
                guard let column = words[0].text, let op = words[1].text.flatMap(FilterOperator.init(rawValue:)) else {
                    throw Failure(.scriptError, "\(havingForm.text) takes a column of the result and an operator")
                }
                guard words.count == (op == .isNull || op == .notNull ? 2 : 3) else {
                    throw Failure(
                        .scriptError,
                        "\(havingForm.text): '\(op.rawValue)' takes \(words.count == 2 ? "a" : "no") value")
                }
                return try handle.with { (rows: inout ResultSelection) throws(Failure) in
                    try rows.having(column, op, words.count > 2 ? words[2] : .null, pace)
                }
            },
            "rows": LuaMethod(PartialHandle.self, LuaForm("rows()", 0)) { handle, _, pace throws(Failure) in
                let result = try handle.result(pace)
                return .leased([result.value], result.lease)
            },
        ]
    }

    /// Of all shards of a node, where this stands for them; nil where it is one shard's.
    func partialOfAllShards() throws(Failure) -> JobPartial? {
        guard case .pending(let plan) = content, plan.standsForAll else { return nil }
        return .aggregate(try plan.partialOfAllShards())
    }

    /// Stands for all shards of a node.
    var standsForAll: Bool { if case .pending(let plan) = content { plan.standsForAll } else { false } }

    private func settle() throws(Failure) {
        switch content {
        case .pending(let plan):
            let partial = try plan.partial()
            answerNote.note(seen: partial)
            content = .partial(partial)
        case .standIn(let trial, _): throw trial.refuse()
        case .partial, .selection: break
        }
    }

    /// Nil where this is no stand-in.
    private func mergedOnTrial(with other: PartialHandle?) -> PartialHandle? {
        guard case .standIn(let trial, .term) = content, case .standIn(_, .term)? = other?.content, other !== self,
            trial.merge()
        else { return nil }
        return PartialHandle(trial, .sum, answerNote)
    }

    /// It is what two stand-ins were merged to.
    func isSum(of trial: MergeTrial) -> Bool {
        if case .standIn(let mine, .sum) = content { mine === trial && !trial.isOdd } else { false }
    }

    func partial() throws(Failure) -> JobPartial {
        try settle()
        guard case .partial(let partial) = content else {
            throw Failure(.scriptError, "sort, limit and having belong in finish(r): what they return merges no longer")
        }
        return .aggregate(partial)
    }

    func result(_ pace: WorkPace) throws(Failure) -> LeasedValue { try selection().values(pace) }

    private func selection() throws(Failure) -> ResultSelection {
        try settle()
        switch content {
        case .partial(let partial):
            answerNote.note(read: partial)
            return ResultSelection(partial)
        case .selection(let selection): return selection
        case .pending, .standIn: preconditionFailure("it is settled")
        }
    }
}
