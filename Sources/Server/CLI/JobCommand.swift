// `cacheismo job run|explain FILE`: reads a job, runs it over the cluster or says what it would do, prints the answer.

import ArgumentParser
import Engine
import Gather

struct Job: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run jobs over the cluster.",
        subcommands: [JobRun.self, JobExplain.self, JobList.self, JobShow.self, JobCancel.self])
}

struct JobRun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run a job file and print its answer; exit code 0 only for a complete one.")

    @OptionGroup var job: JobFile

    @Option(help: "How much must answer: all, any, a number of nodes, or 80%.")
    var require: Requirement = .all

    @Option(help: ArgumentHelp("How long it may take, in milliseconds.", valueName: "ms"))
    var timeout = JobRequest.timeoutMillisecondsDefault

    @OptionGroup var client: ClientOptions

    func run() async throws {
        var request = try job.request()
        request.requirement = require
        request.timeoutMilliseconds = timeout
        request.query = UInt64.random(in: 1...(1 << 48))
        guard (1...JobRequest.timeoutMillisecondsMax).contains(timeout) else {
            throw Failure(
                .scriptError, "--timeout \(timeout): from 1 to \(JobRequest.timeoutMillisecondsMax) milliseconds")
        }
        try request.take(assignments: job.set)
        let argument = request.value
        let limit = request.timeoutMilliseconds + 2_000
        let watching = watch(request)
        defer { watching.cancel() }
        let envelope = try await client.withClient { client async throws(Failure) in
            try await client.control(.runJob, argument, timeoutMilliseconds: limit)
        }
        watching.cancel()
        await watching.value
        try EnvelopePrinter.print(envelope, json: client.json)
    }
}

extension JobRun {
    /// Draws how far the job is, where a person looks on, from when it has taken a third of a second.
    private func watch(_ request: JobRequest) -> Task<Void, Never> {
        let (client, name, query) = (client, request.name, request.query ?? 0)
        return Task {
            guard StandardError.isTerminal, (try? await Task.sleep(for: .milliseconds(300))) != nil else { return }
            var bar = ProgressBar(name)
            _ = try? await client.withClient { client async throws(Failure) in
                while !Task.isCancelled {
                    let (rows, expected) = try await JobNodes.progress(of: query, client)
                    let speed = Int(Double(rows) / max(bar.elapsedSeconds + 0.3, 0.001))
                    bar.update(
                        fraction: expected > 0 ? min(1, Double(rows) / Double(expected)) : nil,
                        "\(Counted.noun(rows, "row")), \(Counted.grouped(speed)) a second")
                    guard (try? await Task.sleep(for: .milliseconds(150))) != nil else { break }
                }
            }
            bar.finish()
        }
    }
}

/// The job of a command, and its parameters.
struct JobFile: ParsableArguments {
    @Argument(help: "The job, a Lua file.")
    var file: String

    @Option(help: ArgumentHelp("A parameter of the job, repeatable.", valueName: "name=value"))
    var set: [String] = []

    /// Without the assignments, which may override what other options say.
    func request() throws(Failure) -> JobRequest {
        JobRequest(name: FilePath.stem(file), source: try FilePath.read(file))
    }
}

extension Requirement: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
    public var defaultValueDescription: String { description }
}
