// An envelope for people: the result as a table, then one line that says how far it can be trusted.

import ArgumentParser
package import Engine

package enum EnvelopePrinter {
    /// Prints the answer; throws the exit code 1 unless it is complete.
    static func print(_ envelope: Value, _ form: TableForm) throws {
        let result = envelope["result"] ?? .null
        switch form {
        case .json: StandardOutput.printLine(MachineAnswer.json(envelope))
        case .table, .csv:
            printLog(of: envelope)
            if let error = envelope["error"] {
                printError(error)
            } else if form == .csv {
                // Rows alone, for the program that reads them; what is said of them is for who looks on.
                StandardOutput.print(CSVText.plain.text(of: result))
                CommandFailure.printError(summary(envelope))
            } else {
                Swift.print(Table(result)?.text ?? String(decoding: result.answer, as: UTF8.self))
                Swift.print(summary(envelope))
            }
        }
        guard envelope["status"]?.text == "complete" else { throw ExitCode(CommandFailure.generalExitCode) }
    }

    /// The one line, and the functions of a script that failed below it.
    private static func printError(_ error: Value) {
        CommandFailure.printError(failure(of: error))
        guard case .array(let stack)? = error["stack"] else { return }
        for line in stack { StandardError.write("  \(line.text ?? "")\n") }
    }

    /// What the job's scripts have said, on standard error.
    private static func printLog(of envelope: Value) {
        guard case .array(let lines)? = envelope["log"] else { return }
        for line in lines { StandardError.write("\(line.text ?? "")\n") }
        guard case .int(let dropped)? = envelope["logDropped"] else { return }
        StandardError.write("… and \(Counted.noun(Int(dropped), "more line"))\n")
    }

    /// Why an envelope is not complete, in one line.
    static func failure(_ envelope: Value) -> String {
        guard let error = envelope["error"] else { return summary(envelope) }
        return failure(of: error)
    }

    private static func failure(of error: Value) -> String {
        "\(error["reason"]?.text ?? "error"): \(error["message"]?.text ?? "no message")"
    }

    /// `complete: 6 of 6 shards, 336,776 of 336,776 rows, 14.2 ms (n1 9.8, n2 11.0, n3 10.1)`
    package static func summary(_ envelope: Value) -> String {
        func count(_ group: String, _ field: String) -> Int {
            guard case .int(let count)? = envelope[group]?[field] else { return 0 }
            return Int(count)
        }
        var parts = [
            "\(Counted.grouped(count("shards", "answered"))) of \(Counted.noun(count("shards", "asked"), "shard"))"
        ]
        if count("rows", "expected") > 0 || count("rows", "scanned") > 0 {
            parts.append(
                "\(Counted.grouped(count("rows", "scanned"))) of \(Counted.noun(count("rows", "expected"), "row"))")
        }
        if case .map(let times)? = envelope["ms"]?["nodes"], let total = number(envelope["ms"]?["total"]) {
            let nodes = times.compactMap { time in
                number(time.value).map {
                    "\(time.key.text ?? "?") \(String(Counted.milliseconds($0).dropLast(3)))"
                }
            }
            parts.append(Counted.milliseconds(total) + (nodes.isEmpty ? "" : " (\(nodes.joined(separator: ", ")))"))
        }
        if case .array(let failed)? = envelope["shards"]?["failed"], !failed.isEmpty {
            let names = failed.map { "\($0["node"]?.text ?? "?"): \($0["reason"]?.text ?? "?")" }
            parts.append("without \(names.joined(separator: ", "))")
        }
        if envelope["truncated"] == .bool(true) {
            parts.append("truncated: more rows pass than the limit of rows{…} keeps")
        }
        if case .map(let columns)? = envelope["approximate"] {
            let shares = columns.compactMap { column in
                number(column.value).map { "\(column.key.text ?? "?") within \(percent($0))" }
            }
            parts.append("approximate: \(shares.joined(separator: ", "))")
        }
        return "\(envelope["status"]?.text ?? "?"): \(parts.joined(separator: ", "))"
    }

    /// `2.5 %`: of a share, with two digits behind the point at most.
    private static func percent(_ share: Double) -> String {
        let hundredths = (share * 10_000).rounded(.up)
        let text = hundredths < 1e15 ? String(hundredths / 100) : "more than 100"
        return (text.hasSuffix(".0") ? String(text.dropLast(2)) : text) + " %"
    }

    private static func number(_ value: Value?) -> Double? {
        switch value {
        case .double(let number)?: number
        case .int(let number)?: Double(number)
        default: nil
        }
    }
}
