// `cacheismo job run`: a job, from a file or defined before, run over the cluster, and its answer printed.

import ArgumentParser
import Coordination
import Engine
import Gather

struct Job: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run jobs over the cluster.",
        subcommands: [
            JobRun.self, JobExplain.self, JobDefine.self, JobList.self, JobShow.self, JobCancel.self,
        ])
}

struct JobRun: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run a job and print its answer; exit code 0 only for a complete one.")

    @OptionGroup var job: JobChoice

    @Option(help: "How much must answer: all, any, a number of nodes, or 80%.")
    var require: Requirement = .all

    @Option(help: ArgumentHelp("How long it may take, in milliseconds.", valueName: "ms"))
    var timeout = JobRequest.timeoutMillisecondsDefault

    @OptionGroup var tables: TableOptions
    @OptionGroup var client: ClientOptions

    func run() async throws {
        let form = try tables.form(client)
        guard (1...JobRequest.timeoutMillisecondsMax).contains(timeout) else {
            throw Failure(
                .scriptError, "--timeout \(timeout): from 1 to \(JobRequest.timeoutMillisecondsMax) milliseconds")
        }
        let file = try job.readFile()
        let envelope = try await client.withClient { client async throws(Failure) in
            var request = try await job.request(file, client)
            request.requirement = require
            request.timeoutMilliseconds = timeout
            request.query = UInt64.random(in: 1...(1 << 48))
            try request.take(assignments: job.set)
            let watching = JobProgress(of: request.query ?? 0, named: request.name, self.client).watch()
            defer { watching.cancel() }
            let envelope: Value
            do throws(Failure) {
                envelope = try await client.control(
                    .runJob, request.value, timeoutMilliseconds: request.timeoutMilliseconds + 2_000)
            } catch {
                watching.cancel()
                await watching.value
                throw error
            }
            watching.cancel()
            await watching.value
            return envelope
        }
        try EnvelopePrinter.print(envelope, form)
    }
}

/// The job of a command, and its parameters.
struct JobChoice: ParsableArguments {
    @Argument(
        help: ArgumentHelp(
            "A Lua file, where the word has a / in it or ends in .lua and there is such a file; else the name of a defined job.",
            valueName: "file-or-name"),
        completion: .file(extensions: ["lua"]))
    var job: String

    @Option(help: ArgumentHelp("A parameter of the job, repeatable.", valueName: "name=value"))
    var set: [String] = []

    /// Names may look so too.
    private var looksLikeFile: Bool { job.contains("/") || job.hasSuffix(".lua") }

    /// What the file says, where the job is one: before a node is asked for anything.
    func readFile() throws(Failure) -> [UInt8]? {
        looksLikeFile && FilePath.isFile(job) ? try FilePath.read(job) : nil
    }

    /// Without the assignments, which may override what other options say.
    func request(_ file: [UInt8]?, _ client: NodeClient) async throws(Failure) -> JobRequest {
        if let file { return JobRequest(name: FilePath.stem(job), source: file) }
        do throws(Failure) {
            return JobRequest(name: job, source: try await DefinedJob(named: job, client).source)
        } catch {
            guard error.reason == .miss else { throw error }
            throw error.saying(
                looksLikeFile
                    ? "there is no file \(job), and \(error.message)"
                    : "\(error.message); a file has a / in its name, or ends in .lua")
        }
    }
}

extension Requirement: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
    public var defaultValueDescription: String { description }
}
