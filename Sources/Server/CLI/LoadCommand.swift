// `cacheismo load NAME FILE`: reads rows from a file, spreads them over the nodes, makes them visible all at once.

import ArgumentParser
import Engine
import Gather

struct Load: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Load a CSV, TSV or NDJSON file (plain or packed with zstd) into a frame, spread over all nodes.")

    @Argument(help: "The frame; made when it does not exist.")
    var name: String

    @Argument(help: "FILE.csv, FILE.tsv, FILE.ndjson, FILE.jsonl, or any with .zst", completion: .file())
    var file: String

    @Option(help: "Column types where inference should not decide: carrier:string,dep_delay:int,…")
    var schema: String?

    @Option(name: .customLong("on-error"), help: "A row that does not fit: stop (nothing is loaded) or skip.")
    var onError: OnError = .stop

    @Option(help: "What stands between the fields of CSV: tab or a character; found out unless given.")
    var delimiter: Delimiter?

    @OptionGroup var client: ClientOptions

    enum OnError: String, ExpressibleByArgument, CaseIterable { case stop, skip }

    struct Delimiter: ExpressibleByArgument {
        let byte: UInt8

        init?(argument: String) {
            guard let byte = argument == "tab" ? 0x09 : argument.utf8.first, RowFormat.canDelimit(byte),
                argument == "tab" || argument.utf8.count == 1
            else { return nil }
            self.byte = byte
        }
    }

    func run() async throws {
        let options = client
        let report = try await options.withClient { client async throws(Failure) in
            try await FrameLoader(
                frame: name, file: file, schemaText: schema, delimiter: delimiter?.byte,
                skipsBadRows: onError == .skip, client: client
            ).run()
        }
        print(options.json ? String(decoding: report.value.json, as: UTF8.self) : report.text)
        if !report.notes.isEmpty {
            CommandFailure.printError("\(file) was read so: \(report.notes.joined(separator: "; "))")
        }
        for message in report.messages { CommandFailure.printError("skipped: \(message)") }
    }
}
