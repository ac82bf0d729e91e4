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

    /// The name of the key's column in the result.
    package var name: String {
        switch self {
        case .column(let name): name
        }
    }
}

/// The raw values are names in plans and tags in partials and never change.
package enum AggregateFunction: String, Sendable, CaseIterable {
    case count, sum, avg, min, max
}

/// `name = function(column)`; only count may have no column: it then counts rows.
package struct Aggregate: Sendable, Hashable {
    package let name: String
    package let function: AggregateFunction
    package let column: String?

    package init(_ name: String, _ function: AggregateFunction, _ column: String? = nil) {
        self.name = name
        self.function = function
        self.column = column
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

    package let frame: String
    /// All of them must hold.
    package let filters: [Filter]
    package let output: PlanOutput

    /// Aggregates are kept in the order of their names, so that plans which mean the same are equal.
    package init(frame: String, filters: [Filter] = [], group: [String] = [], aggregates: [Aggregate]) {
        self.frame = frame
        self.filters = filters
        output = .groups(keys: group.map { .column($0) }, aggregates: aggregates.sorted { $0.name < $1.name })
    }

    package init(frame: String, filters: [Filter] = [], rows columns: [String], limit: Int) {
        self.frame = frame
        self.filters = filters
        output = .rows(columns: columns, limit: limit)
    }
}
