// `cacheismo load NAME FILE`: reads rows from a file, spreads them over the nodes, makes them visible all at once.

import ArgumentParser
import Engine
import Gather

struct Load: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Load a CSV or NDJSON file (plain or .zst) into a frame, spread over all nodes.")

    @Argument(help: "The frame; made when it does not exist.")
    var name: String

    @Argument(help: "FILE.csv, FILE.ndjson, or either with .zst")
    var file: String

    @Option(help: "Column types where inference should not decide: carrier:string,dep_delay:int,…")
    var schema: String?

    @Option(name: .customLong("on-error"), help: "A row that does not fit: stop (nothing is loaded) or skip.")
    var onError: OnError = .stop

    @OptionGroup var client: ClientOptions

    enum OnError: String, ExpressibleByArgument, CaseIterable { case stop, skip }

    func run() async throws {
        let options = client
        let report = try await options.withClient { client async throws(Failure) in
            try await FrameLoader(
                frame: name, file: file, schemaText: schema, skipsBadRows: onError == .skip, client: client
            ).run()
        }
        print(options.json ? String(decoding: report.value.json, as: UTF8.self) : report.text)
        for message in report.messages { CommandFailure.printError("skipped: \(message)") }
    }
}
