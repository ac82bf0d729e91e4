// `count()`, `quantile("x", 0.95)`, `bucket("at", "day")`: what goes into agg{…} and group(…).

/// What goes into agg{…}.
final class AggregateCall: LuaHostObject {
    static let luaTypeName = "aggregate"
    static var luaMethods: [String: LuaMethod] { [:] }

    private let function: AggregateFunction
    private let column: String?
    private let number: Double?

    private init(_ function: AggregateFunction, _ column: String?, _ number: Double?) {
        self.function = function
        self.column = column
        self.number = number
    }

    static func register(in state: LuaState) {
        for function in AggregateFunction.allCases {
            let name = function.rawValue
            state.register(name) { arguments throws(Failure) in
                let column = arguments.first?.plain?.text
                guard column != nil || (function == .count && arguments.isEmpty) else {
                    throw Failure(.scriptError, "\(name)(column) takes a column's name")
                }
                return .object(AggregateCall(function, column, try number(of: function, arguments)))
            }
        }
        BucketCall.register(in: state)
    }

    /// The share of a quantile.
    private static func number(of function: AggregateFunction, _ arguments: [LuaValue]) throws(Failure) -> Double? {
        guard function == .quantile else { return nil }
        switch arguments.count > 1 ? arguments[1].plain : nil {
        case .double(let share)? where (0...1).contains(share): return share
        case .int(let share)? where (0...1).contains(share): return Double(share)
        default: throw Failure(.scriptError, "quantile(column, q) takes a share q from 0 to 1, as in 0.95")
        }
    }

    /// The table of agg{ name = count(), … }.
    static func list(_ arguments: [LuaValue]) throws(Failure) -> [Aggregate] {
        guard case .table(let pairs)? = arguments.first else {
            throw Failure(.scriptError, "agg{ name = count(), … } takes a table of aggregates")
        }
        var aggregates: [Aggregate] = []
        for (key, value) in pairs {
            guard let name = key.text, let call = value.object(as: AggregateCall.self) else {
                throw Failure(
                    .scriptError, "agg{…}: '\(String(decoding: key.answer, as: UTF8.self))' is no name = aggregate")
            }
            aggregates.append(Aggregate(name, call.function, call.column, number: call.number))
        }
        return aggregates
    }
}

/// `bucket(column, width)`: what goes into group(…) besides column names.
final class BucketCall: LuaHostObject {
    static let luaTypeName = "bucket"
    static var luaMethods: [String: LuaMethod] { [:] }

    let key: GroupKey

    private init(_ key: GroupKey) { self.key = key }

    static func register(in state: LuaState) {
        state.register("bucket") { arguments throws(Failure) in
            guard arguments.count == 2, let column = arguments[0].plain?.text, let width = width(arguments[1].plain)
            else {
                throw Failure(
                    .scriptError,
                    "bucket(column, width) takes minute, hour, day, week, month, or a whole number (of seconds, for times)"
                )
            }
            return .object(BucketCall(.bucket(column, width: width)))
        }
    }

    private static func width(_ value: Value?) -> String? {
        switch value {
        case .int(let number)?: String(number)
        case .double(let number)?: Int64(exactly: number).map { String($0) }
        default: value?.text
        }
    }
}
