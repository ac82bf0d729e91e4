// What is asked of a frame: filters, group keys and aggregates, or plain rows; the same on every shard.

package enum FilterOperator: String, Sendable, CaseIterable {
    case equal = "="
    case notEqual = "~="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    /// One of several values.
    case isIn = "in"
    /// Two values, both included.
    case between = "between"
    /// `%` stands for any characters, `_` for one, `\` takes the next literally. Strings only.
    case like = "like"
    /// A time within an ISO 8601 period: `2013`, `2013-03`, `2013-03-01`, `2013-03-01T05`, or `start/end`, the end excluded.
    case during = "during"
    case isNull = "isnull"
    case notNull = "notnull"
}

/// `column op values`. A comparison with null is false, also for `~=`. NaN equals NaN and is greater than every number,
/// -0.0 equals 0.0. Times compare with ISO 8601 text, or with a number of seconds since 1970.
package struct Filter: Sendable, Hashable {
    package let column: String
    package let op: FilterOperator
    package let values: [Value]

    package init(_ column: String, _ op: FilterOperator, _ values: Value...) {
        self.init(column: column, op: op, values: values)
    }

    package init(column: String, op: FilterOperator, values: [Value]) {
        self.column = column
        self.op = op
        self.values = values
    }
}

package enum GroupKey: Sendable, Hashable {
    case column(String)
    /// A time column cut to `minute`, `hour`, `day`, `week`, `month` or so many seconds; an int column to multiples of a
    /// number. The result has the start of the bucket, under the column's name.
    case bucket(String, width: String)

    /// The name of the key's column in the result.
    package var name: String {
        switch self {
        case .column(let name), .bucket(let name, _): name
        }
    }
}

/// A column worked out from others, usable like them.
package struct ComputedColumn: Sendable, Hashable {
    package let name: String
    /// See `Expression`.
    package let text: String

    package init(_ name: String, _ text: String) {
        self.name = name
        self.text = text
    }
}

/// The raw values are names in plans and tags in partials and never change.
package enum AggregateFunction: String, Sendable, CaseIterable {
    case count, sum, avg, min, max
    /// Of a sample: null for fewer than two values.
    case variance, stddev
    /// The least value that at least the share `number` of values do not exceed.
    case quantile
    /// How many different values.
    case distinct
    /// How many values lie below the first edge, from each edge to the next, and from the last one up: a list.
    case histogram
    /// The `number` most frequent values with their counts, a list of `{value, count}`: of many different values with a bound
    /// of the error, or as `topk_exact` exactly or not at all.
    case topk
    case topkExact = "topk_exact"
    /// The value of the row that has the least, or greatest, value in the column `by`; of several such rows the least, or
    /// greatest. Rows without a value in either column do not count.
    case first, last
}

/// `name = function(column)`; only count may have no column: it then counts rows.
package struct Aggregate: Sendable, Hashable {
    package let name: String
    package let function: AggregateFunction
    package let column: String?
    /// The share of a quantile, the k of a topk.
    package let number: Double?
    /// The column that first and last go by.
    package let by: String?
    /// Of a histogram, ascending: numbers, or times as filters take them.
    package let edges: [Value]

    package init(
        _ name: String, _ function: AggregateFunction, _ column: String? = nil, number: Double? = nil,
        by: String? = nil, edges: [Value] = []
    ) {
        self.name = name
        self.function = function
        self.column = column
        self.number = number
        self.by = by
        self.edges = edges
    }
}

package enum PlanOutput: Sendable, Hashable {
    /// One result row for each group; exactly one where there are no keys.
    case groups(keys: [GroupKey], aggregates: [Aggregate])
    /// Any `limit` of the rows that pass.
    case rows(columns: [String], limit: Int)
}

package struct Plan: Sendable, Hashable {
    package static let keysMax = 16
    package static let aggregatesMax = 256
    package static let filtersMax = 256
    package static let filterValuesMax = 100_000
    package static let rowsMax = 100_000

    package static let computedMax = 64
    package static let edgesMax = 1_000
    package static let topMax = 10_000

    package let frame: String
    package let computed: [ComputedColumn]
    /// All of them must hold.
    package let filters: [Filter]
    /// Of each list one must hold.
    package let anyFilters: [[Filter]]
    package let output: PlanOutput

    package init(
        frame: String, computed: [ComputedColumn] = [], filters: [Filter] = [], anyFilters: [[Filter]] = [],
        output: PlanOutput
    ) {
        self.frame = frame
        self.computed = computed
        self.filters = filters
        self.anyFilters = anyFilters
        self.output = output
    }

    /// Aggregates are kept in the order of their names, so that plans which mean the same are equal.
    package init(
        frame: String, computed: [ComputedColumn] = [], filters: [Filter] = [], anyFilters: [[Filter]] = [],
        keys: [GroupKey], aggregates: [Aggregate]
    ) {
        self.init(
            frame: frame, computed: computed, filters: filters, anyFilters: anyFilters,
            output: .groups(keys: keys, aggregates: aggregates.sorted { $0.name < $1.name }))
    }

    package init(frame: String, filters: [Filter] = [], group: [String] = [], aggregates: [Aggregate]) {
        self.init(frame: frame, filters: filters, keys: group.map { .column($0) }, aggregates: aggregates)
    }

    package init(frame: String, filters: [Filter] = [], rows columns: [String], limit: Int) {
        self.init(frame: frame, filters: filters, output: .rows(columns: columns, limit: limit))
    }
}
