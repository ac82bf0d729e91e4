// `cacheismo job run FILE`: reads a job, runs it over the cluster, prints its answer.

import ArgumentParser
import Engine
import Gather

struct Job: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run jobs over the cluster.", subcommands: [JobRun.self])
}

struct JobRun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run a job file and print its answer; exit code 0 only for a complete one.")

    @Argument(help: "The job, a Lua file.")
    var file: String

    @Option(help: ArgumentHelp("A parameter of the job, repeatable.", valueName: "name=value"))
    var set: [String] = []

    @Option(help: "How much must answer: all, any, a number of nodes, or 80%.")
    var require: Requirement = .all

    @Option(help: ArgumentHelp("How long it may take, in milliseconds.", valueName: "ms"))
    var timeout = JobRequest.timeoutMillisecondsDefault

    @OptionGroup var client: ClientOptions

    func run() async throws {
        var request = JobRequest(
            name: FilePath.stem(file), source: try FilePath.read(file), requirement: require,
            timeoutMilliseconds: timeout)
        guard (1...JobRequest.timeoutMillisecondsMax).contains(timeout) else {
            throw Failure(
                .scriptError, "--timeout \(timeout): from 1 to \(JobRequest.timeoutMillisecondsMax) milliseconds")
        }
        try request.take(assignments: set)
        let argument = request.value
        let limit = request.timeoutMilliseconds + 2_000
        let envelope = try await client.withClient { client async throws(Failure) in
            try await client.control(.runJob, argument, timeoutMilliseconds: limit)
        }
        try EnvelopePrinter.print(envelope, json: client.json)
    }
}

extension Requirement: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
    public var defaultValueDescription: String { description }
}
