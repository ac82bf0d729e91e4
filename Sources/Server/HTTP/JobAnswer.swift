// The envelope of a run as an answer: its status, its columns, and the forms of its rows.

import Engine
import Gather
import HTTPTypes

extension Envelope {
    /// As it goes out: with `columns` before a result that is rows.
    func value(textIntegers: Bool) -> Value {
        guard case .map(var pairs) = value else { return .null }
        if error == nil, let columns = result.value.columns, let last = pairs.popLast() {
            pairs.append(Value.Pair(.string("columns"), columns))
            pairs.append(last)
        }
        return Value.map(pairs).lossless(textIntegers: textIntegers)
    }

    var httpStatus: HTTPResponse.Status { error?.reason.httpStatus ?? .ok }

    /// The answer to who asked for the run.
    func answer(_ format: JobFormat = .json, textIntegers: Bool) -> HTTPAnswer {
        var answer =
            error == nil && format != .json
            ? HTTPAnswer(.ok, type: format.type, format.text(of: result.value))
            : HTTPAnswer(httpStatus, json: value(textIntegers: textIntegers))
        if status == .partial { answer.fields[.cacheismoStatus] = "partial" }
        if error?.reason == .overloaded { answer.fields[.retryAfter] = "1" }
        return answer
    }
}

enum JobFormat: String, Sendable {
    case json, csv, ndjson

    var type: String {
        switch self {
        case .json: HTTPAnswer.json
        case .csv: "text/csv; charset=utf-8"
        case .ndjson: "application/x-ndjson"
        }
    }

    /// Rows of the result, one a line; a result that is no list is one row.
    func text(of result: Value) -> [UInt8] {
        guard self != .csv else { return CSVText.exact.text(of: result) }
        let rows: [Value] = if case .array(let list) = result { list } else { [result] }
        return rows.flatMap { $0.lossless(textIntegers: false).json + [0x0A] }
    }
}
