// A partial in a script's hands: merged in the reduce, turned into sorted and limited rows in the finish.

final class PartialHandle: LuaHostObject {
    static let luaTypeName = "partial"

    private enum Content {
        case partial(Partial)
        /// After the first sort, limit or having: it merges no longer.
        case selection(ResultSelection)
    }

    private let content: Content

    init(_ partial: Partial) { content = .partial(partial) }
    private init(_ selection: ResultSelection) { content = .selection(selection) }

    static var luaMethods: [String: LuaMethod] {
        [
            "merge": LuaMethod(PartialHandle.self) { handle, arguments throws(Failure) in
                guard let other = arguments.first?.object(as: PartialHandle.self),
                    case .aggregate(var mine) = try handle.partial(), case .aggregate(let theirs) = try other.partial()
                else { throw Failure(.scriptError, "a:merge(b) takes another partial") }
                try mine.merge(theirs)
                return .object(PartialHandle(mine))
            },
            "sort": LuaMethod(PartialHandle.self) { handle, arguments throws(Failure) in
                let words = try arguments.plain(in: "sort")
                let direction = words.count > 1 ? words[1].text : "asc"
                guard let column = words.first?.text, direction == "asc" || direction == "desc" else {
                    throw Failure(.scriptError, "sort(column, \"asc\" or \"desc\") takes a column of the result")
                }
                var rows = handle.selection()
                try rows.sort(column, ascending: direction == "asc")
                return .object(PartialHandle(rows))
            },
            "limit": LuaMethod(PartialHandle.self) { handle, arguments throws(Failure) in
                guard case .int(let count)? = arguments.first?.plain, count >= 0 else {
                    throw Failure(.scriptError, "limit(n) takes a whole number")
                }
                var rows = handle.selection()
                try rows.limit(Int(count))
                return .object(PartialHandle(rows))
            },
            "having": LuaMethod(PartialHandle.self) { handle, arguments throws(Failure) in
                let words = try arguments.plain(in: "having")
                guard words.count >= 2, let column = words[0].text,
                    let op = words[1].text.flatMap(FilterOperator.init(rawValue:))
                else { throw Failure(.scriptError, "having(column, op, value) takes a column of the result") }
                var rows = handle.selection()
                try rows.having(column, op, words.count > 2 ? words[2] : .null)
                return .object(PartialHandle(rows))
            },
            "rows": LuaMethod(PartialHandle.self) { handle, _ throws(Failure) in .value(try handle.result()) },
        ]
    }

    func partial() throws(Failure) -> JobPartial {
        guard case .partial(let partial) = content else {
            throw Failure(.scriptError, "sort, limit and having belong in finish(r): what they return merges no longer")
        }
        return .aggregate(partial)
    }

    func result() throws(Failure) -> Value { .array(try selection().values()) }

    private func selection() -> ResultSelection {
        switch content {
        case .partial(let partial): ResultSelection(partial)
        case .selection(let selection): selection
        }
    }
}
