// `--log-format`, `--log-level` and `--slow-ms`: how a node tells what happens.

import ArgumentParser
import Engine
import Logging

struct LogOptions: ParsableArguments {
    @Option(name: .customLong("log-format"), help: "Lines for people (text) or machines (json).")
    var format = LogFormat.text

    @Option(
        name: .customLong("log-level"),
        help: "Tell what is at least so important. (default: notice, with -v info, with -vv debug)",
        transform: LogOptions.level)
    var level: Logger.Level?

    @Option(
        name: .customLong("slow-ms"),
        help: "Methods and jobs that take this many milliseconds are told of, in the log and in stats slow; 0: none.")
    var slowMilliseconds = 100

    private static func level(_ word: String) throws -> Logger.Level {
        if let level = Logger.Level(rawValue: word) { return level }
        let known = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("there are \(known)")
    }

    func validate() throws {
        guard (0...1 << 31).contains(slowMilliseconds) else {
            throw ValidationError("--slow-ms \(slowMilliseconds): from 0 to \(1 << 31)")
        }
    }

    /// `verbose`: how often -v was given.
    func makeLogger(verbose: Int) -> Logger {
        let format = format
        LoggingSystem.bootstrap { format.handler(label: $0) }
        var logger = Logger(label: "cacheismo")
        logger.logLevel = level ?? [.notice, .info, .debug][min(verbose, 2)]
        return logger
    }
}
