// `--csv`, of the commands that print tables: and which form they print their rows in.

import ArgumentParser
import Engine

struct TableOptions: ParsableArguments {
    @Flag(help: "Print the rows as CSV, with a header.")
    var csv = false

    func form(_ client: ClientOptions) throws(Failure) -> TableForm {
        guard csv else { return client.json ? .json : .table }
        guard !client.json else { throw Failure(.scriptError, "--csv and --json: give one of them") }
        return .csv
    }
}

enum TableForm: Sendable {
    case table, json, csv

    /// - Parameters:
    ///   - whole: what a machine is told in JSON; the rows themselves unless given.
    ///   - nothing: what people are told where there are no rows.
    func print(_ rows: Value, whole: Value? = nil, nothing: String = "") {
        switch self {
        case .json: StandardOutput.printLine(MachineAnswer.json(whole ?? rows))
        case .csv: StandardOutput.print(CSVText.plain.text(of: rows))
        case .table: Swift.print(Table(rows)?.text ?? nothing)
        }
    }
}
