// From a filter as written to a predicate on keys: literals are checked and rounded here, once for each plan.

extension Filter {
    /// The predicate for a column of this type. Failures name the column and what was expected.
    func compiled(for column: FrameColumn) throws(Failure) -> Predicate {
        try checkValueCount()
        switch op {
        case .isNull: return .isNull
        case .notNull: return .notNull
        default: break
        }
        if op == .during { return try periodPredicate(column) }
        if column.type == .string { return .text(try textPredicate(column)) }
        guard op != .like else {
            throw Failure(.wrongType, "like needs a string column; '\(column.name)' is \(column.type.name)")
        }
        var cuts: [Cut] = []
        for value in values { cuts.append(try Cut(value, column)) }
        return predicate(cuts)
    }

    private func periodPredicate(_ column: FrameColumn) throws(Failure) -> Predicate {
        guard column.type == .time else {
            throw Failure(.wrongType, "during needs a column of times; '\(column.name)' is \(column.type.name)")
        }
        guard let period = values[0].text.flatMap({ Timestamp.period($0) }) else {
            let text = String(decoding: values[0].json.prefix(60), as: UTF8.self)
            throw Failure(
                .wrongType,
                "column '\(column.name)': \(text) is no period; write 2013, 2013-03, 2013-03-01, or START/END")
        }
        return period.isEmpty ? .never : .interval(period.lowerBound, period.upperBound - 1)
    }

    func checkValueCount() throws(Failure) {
        let (expected, form): (ClosedRange<Int>, String) =
            switch op {
            case .isNull, .notNull: (0...0, "no value")
            case .between: (2...2, "two values, both included")
            case .isIn: (0...Plan.filterValuesMax, "a list of at most \(Plan.filterValuesMax) values")
            default: (1...1, "one value")
            }
        guard expected.contains(values.count) else {
            throw Failure(.scriptError, "'\(op.rawValue)' on column '\(column)' takes \(form), not \(values.count)")
        }
    }

    private func predicate(_ cuts: [Cut]) -> Predicate {
        func upTo(_ key: Int64?) -> Predicate { key.map { .interval(.min, $0) } ?? .never }
        func from(_ key: Int64?) -> Predicate { key.map { .interval($0, .max) } ?? .never }
        switch op {
        case .equal: return cuts[0].exact.map { .interval($0, $0) } ?? .never
        case .notEqual: return cuts[0].exact.map { .outside($0, $0) } ?? .notNull
        case .less: return upTo(cuts[0].below)
        case .lessOrEqual: return upTo(cuts[0].exact ?? cuts[0].below)
        case .greater: return from(cuts[0].above)
        case .greaterOrEqual: return from(cuts[0].exact ?? cuts[0].above)
        case .between:
            guard let low = cuts[0].exact ?? cuts[0].above, let high = cuts[1].exact ?? cuts[1].below, low <= high
            else { return .never }
            return .interval(low, high)
        case .isIn: return .members(Set(cuts.compactMap(\.exact)).sorted())
        case .like, .during, .isNull, .notNull: return .never
        }
    }

    private func textPredicate(_ column: FrameColumn) throws(Failure) -> TextPredicate {
        var texts: [[UInt8]] = []
        for value in values {
            guard case .bytes(let bytes) = value else { throw Cut.misfit(value, column) }
            texts.append(bytes)
        }
        if op == .like, texts[0].count > LikePattern.bytesMax {
            throw Failure(
                .budgetExceeded,
                "column '\(column.name)': a pattern of \(texts[0].count) bytes; like takes at most "
                    + "\(LikePattern.bytesMax): shorten it with %, or compare whole texts with =")
        }
        return switch op {
        case .equal: .equal(texts[0])
        case .notEqual: .notEqual(texts[0])
        case .less: .less(texts[0])
        case .lessOrEqual: .lessOrEqual(texts[0])
        case .greater: .greater(texts[0])
        case .greaterOrEqual: .greaterOrEqual(texts[0])
        case .between: .between(texts[0], texts[1])
        case .like: .like(LikePattern(texts[0]))
        case .isIn, .during, .isNull, .notNull: .members(Set(texts))
        }
    }
}

/// Where a literal cuts a column's keys: the key equal to it, if there is one, and its nearest neighbours.
private struct Cut {
    let exact: Int64?
    /// The greatest key below the literal, and the least above it; nil beyond the ends.
    let below: Int64?
    let above: Int64?

    private init(exact: Int64?, below: Int64?, above: Int64?) {
        self.exact = exact
        self.below = below
        self.above = above
    }

    private init(exact key: Int64) {
        self.init(exact: key, below: key == .min ? nil : key - 1, above: key == .max ? nil : key + 1)
    }

    /// An integer column and a number that may lie between two integers, or beyond all. NaN lies above all.
    private init(_ number: Double) {
        if let integer = Int64(exactly: number) {
            self.init(exact: integer)
            return
        }
        self.init(
            exact: nil, below: number < -0x1p63 ? nil : Int64(exactly: number.rounded(.down)) ?? .max,
            above: number < -0x1p63 ? .min : Int64(exactly: number.rounded(.up)))
    }

    init(_ value: Value, _ column: FrameColumn) throws(Failure) {
        switch (column.type, value) {
        case (.int, .int(let number)): self.init(exact: number)
        case (.int, .double(let number)): self.init(number)
        case (.double, .int(let number)): self.init(amongDoubles: number)
        case (.double, .double(let number)): self.init(exact: number.orderedKey)
        case (.bool, .bool(let flag)): self.init(exact: flag ? 1 : 0)
        case (.time, .int(let seconds)): self.init(microseconds: seconds)
        case (.time, .double(let seconds)): self.init((seconds * 1e6).rounded())
        case (.time, .bytes(let bytes)):
            guard let time = bytes.withUnsafeBufferPointer({ Timestamp.parse($0) }) else {
                throw Self.misfit(value, column)
            }
            self.init(exact: time)
        default: throw Self.misfit(value, column)
        }
    }

    /// A column of doubles and an integer that may lie between two of them.
    private init(amongDoubles number: Int64) {
        let nearest = Double(number)
        let order = Scalar.compare(.double(nearest), .int(number))
        self.init(
            exact: order == 0 ? nearest.orderedKey : nil,
            below: (order < 0 ? nearest : nearest.nextDown).orderedKey,
            above: (order > 0 ? nearest : nearest.nextUp).orderedKey)
    }

    private init(microseconds seconds: Int64) {
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        if overflow { self.init(Double(seconds) * 1e6) } else { self.init(exact: product) }
    }

    static func misfit(_ value: Value, _ column: FrameColumn) -> Failure {
        let text = String(decoding: value.json.prefix(60), as: UTF8.self)
        if value == .null {
            return Failure(.wrongType, "column '\(column.name)': nothing equals null; use isnull or notnull")
        }
        let hint = column.type == .time ? " (write it as 2013-01-31T05:00:00Z, or as seconds since 1970)" : ""
        return Failure(.wrongType, "column '\(column.name)' is \(column.type.name); \(text) does not compare\(hint)")
    }
}
