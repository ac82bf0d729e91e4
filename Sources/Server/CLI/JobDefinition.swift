// `cacheismo job define|show`: jobs that all nodes know by a name, and how far a run is.

import ArgumentParser
import Engine
import Gather

/// A job that was defined before, as a node knows it.
struct DefinedJob: Sendable {
    /// `{name, about, params, source}`.
    let value: Value
    let source: [UInt8]

    init(named name: String, _ client: NodeClient) async throws(Failure) {
        value = try await client.control(.describeJob, .object(["name": .string(name)]))
        guard case .bytes(let source)? = value["source"] else {
            throw Failure(.scriptVersion, "\(client.address) answers in a version that is not understood")
        }
        self.source = source
    }

    /// As it is known once it has been defined.
    static func define(_ name: String, _ source: [UInt8], _ client: NodeClient) async throws(Failure) -> DefinedJob {
        let key = Array("job:define:".utf8) + escaped(name)
        _ = try await client.control(.store, .object(["key": .bytes(key), "value": .bytes(source)]))
        return try await DefinedJob(named: name, client)
    }

    /// As part of a virtual key: a colon would begin the next one, and blanks end a key.
    private static func escaped(_ name: String) -> [UInt8] {
        PercentEscapes.escaped(CommandLineBytes.bytes(of: name)) { byte in
            byte > UInt8(ascii: " ") && byte != UInt8(ascii: ":") && byte != 0x7F
        }
    }
}

struct JobDefine: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "define",
        abstract: "Give a job a name, by which every node and client runs it; what had the name before is replaced.")

    @Argument(help: "The name.")
    var name: String

    @Argument(help: "The job, a Lua file; - reads standard input.", completion: .file(extensions: ["lua"]))
    var file: String

    @OptionGroup var client: ClientOptions

    func run() async throws {
        let (name, source) = (name, file == "-" ? try FilePath.readStandardInput() : try FilePath.read(file))
        let defined = try await client.withClient { client async throws(Failure) in
            try await DefinedJob.define(name, source, client)
        }
        guard !client.json else { return StandardOutput.printLine(MachineAnswer.json(defined.value)) }
        print("defined \(name): \(Self.words(defined.value))")
    }

    /// What it is, and what may be set.
    private static func words(_ job: Value) -> String {
        let about = job["about"]?.text ?? ""
        guard case .map(let pairs)? = job["params"], !pairs.isEmpty else { return about.isEmpty ? "a job" : about }
        let words = pairs.map { "\($0.key.text ?? "")=\(String(decoding: $0.value.answer, as: UTF8.self))" }
        return "\(about.isEmpty ? "a job" : about) (\(words.joined(separator: ", ")))"
    }
}

struct JobShow: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Print a defined job's Lua; or how far a run is, by its id.")

    @Argument(help: "A defined job's name, or a run's id, as job list shows it.")
    var job: String

    @OptionGroup var tables: TableOptions
    @OptionGroup var client: ClientOptions

    private enum Found: Sendable {
        case defined(DefinedJob)
        case run(JobNodes.Run)
    }

    func run() async throws {
        let (job, form) = (job, try tables.form(client))
        switch try await client.withClient({ client async throws(Failure) in try await Self.find(job, client) }) {
        case .run(let run):
            form.print(.array([run.value]), whole: run.value)
            guard run.areAll else { throw ExitCode(CommandFailure.generalExitCode) }
        case .defined(let defined):
            switch form {
            case .json: StandardOutput.printLine(MachineAnswer.json(defined.value))
            case .csv: throw Failure(.scriptError, "--csv is for tables: a job's Lua is none")
            case .table:
                StandardOutput.print(defined.source)
                if defined.source.last != UInt8(ascii: "\n") { StandardOutput.printLine([]) }
            }
        }
    }

    private static func find(_ job: String, _ client: NodeClient) async throws(Failure) -> Found {
        do throws(Failure) { return .defined(try await DefinedJob(named: job, client)) } catch {
            // Nothing of that name: it may be a run.
            guard error.reason == .miss, let query = UInt64(job, radix: 16),
                let run = try await JobNodes.run(query, client)
            else { throw error }
            return .run(run)
        }
    }
}
