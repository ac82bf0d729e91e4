// `count()`, `quantile("x", 0.95)`, `bucket("at", "day")`: what goes into agg{…} and group(…).

/// What goes into agg{…}.
final class AggregateCall: LuaHostObject {
    static let luaTypeName = "aggregate"
    static var luaMethods: [String: LuaMethod] { [:] }

    private let function: AggregateFunction
    private let column: String?
    private let number: Double?
    private let by: String?
    private let edges: [Value]

    var hostBytes: Int {
        let names = (column?.utf8.count ?? 0) + (by?.utf8.count ?? 0)
        return edges.reduce(LuaState.objectBytes + names) { $0 + $1.hostBytes }
    }

    private init(_ function: AggregateFunction, _ column: String?, _ arguments: [LuaValue]) throws(Failure) {
        self.function = function
        self.column = column
        let second = arguments.count > 1 ? arguments[1].plain : nil
        number = try Self.number(of: function, second)
        by = try Self.by(of: function, second)
        edges = try Self.edges(of: function, second)
    }

    static func register(in state: LuaState) {
        for function in AggregateFunction.allCases {
            let name = function.rawValue
            let form = form(of: function)
            state.register(name, form) { arguments throws(Failure) in
                let column = arguments.first?.plain?.text
                guard column != nil || (function == .count && arguments.isEmpty) else {
                    throw Failure(.scriptError, "\(form.text) takes a column's name")
                }
                return .object(try AggregateCall(function, column, arguments))
            }
        }
        BucketCall.register(in: state)
    }

    private static func form(of function: AggregateFunction) -> LuaForm {
        switch function {
        case .count: LuaForm("count(column)", 0...1)
        case .quantile: LuaForm("quantile(column, q)", 2)
        case .topk, .topkExact: LuaForm("\(function.rawValue)(column, k)", 2)
        case .histogram: LuaForm("histogram(column, {edges})", 2)
        case .first, .last: LuaForm("\(function.rawValue)(column, by)", 2)
        case .sum, .avg, .min, .max, .variance, .stddev, .distinct: LuaForm("\(function.rawValue)(column)", 1)
        }
    }

    /// The share of a quantile, the k of a topk.
    private static func number(of function: AggregateFunction, _ given: Value?) throws(Failure) -> Double? {
        var number: Double?
        switch given {
        case .double(let given)?: number = given
        case .int(let given)?: number = Double(given)
        default: break
        }
        switch function {
        case .quantile:
            if let number, (0...1).contains(number) { return number }
            throw Failure(.scriptError, "quantile(column, q) takes a share q from 0 to 1, as in 0.95")
        case .topk, .topkExact:
            if let number, number == number.rounded(), (1...Double(Plan.topMax)).contains(number) { return number }
            throw Failure(
                .scriptError,
                "\(function.rawValue)(column, k) takes a whole number k from 1 to \(Plan.topMax), as in 10")
        default: return nil
        }
    }

    private static func by(of function: AggregateFunction, _ given: Value?) throws(Failure) -> String? {
        guard function == .first || function == .last else { return nil }
        guard let by = given?.text else {
            throw Failure(.scriptError, "\(function.rawValue)(column, by) takes two columns: what, and what to go by")
        }
        return by
    }

    private static func edges(of function: AggregateFunction, _ given: Value?) throws(Failure) -> [Value] {
        guard function == .histogram else { return [] }
        guard case .array(let edges)? = given, (1...Plan.edgesMax).contains(edges.count) else {
            throw Failure(
                .scriptError,
                "histogram(column, {edges}) takes a list of 1 to \(Plan.edgesMax) numbers or times, as in {0, 15, 60}")
        }
        return edges
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
            aggregates.append(
                Aggregate(
                    name, call.function, call.column, number: call.number, by: call.by, edges: call.edges))
        }
        return aggregates
    }
}

/// `bucket(column, width)`: what goes into group(…) besides column names.
final class BucketCall: LuaHostObject {
    static let luaTypeName = "bucket"
    static var luaMethods: [String: LuaMethod] { [:] }

    let key: GroupKey

    var hostBytes: Int { LuaState.objectBytes + key.hostBytes }

    private init(_ key: GroupKey) { self.key = key }

    static func register(in state: LuaState) {
        state.register("bucket", LuaForm("bucket(column, width)", 2)) { arguments throws(Failure) in
            guard let column = arguments[0].plain?.text, let width = width(arguments[1].plain)
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
