// `query`, `get` and `set`: one key from the command line.

import ArgumentParser
import Engine
import Gather

struct Query: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Answer one virtual key, as in: cacheismo query 'quota:addandcheck:alice:3'")

    @Argument(help: "type:method:object[:argument…]")
    var key: String

    @OptionGroup var tables: TableOptions
    @OptionGroup var client: ClientOptions

    func run() async throws { try await printAnswer(to: key, client, try tables.form(client)) }
}

struct GetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "get", abstract: "Print the value of a key.")

    @Argument var key: String
    @OptionGroup var client: ClientOptions

    func run() async throws { try await printAnswer(to: key, client, client.json ? .json : .table) }
}

/// Prints the value as it is. Exit code 0 only for an answer: not for a job whose envelope says that it is partial or an
/// error, nor for a method that says that it was not done.
private func printAnswer(to key: String, _ options: ClientOptions, _ form: TableForm) async throws {
    let value = try await options.withClient { client async throws(Failure) in
        do throws(Failure) { return try await client.fetch(key) } catch {
            guard error == .noSuchKey else { throw error }
            let isNoMethod = key.contains(":") ? ", and no type or method of that name" : ""
            throw Failure(.miss, "there is no key '\(key)'\(isNoMethod)")
        }
    }
    let call = key.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
    let isRun = call.count == 3 && call[0] == "job" && call[1] == "run" && value["status"] != nil
    switch form {
    case .json: StandardOutput.printLine(MachineAnswer.json(value))
    case .table: StandardOutput.printLine(value.answer)
    case .csv where isRun: return try EnvelopePrinter.print(value, form)
    case .csv: StandardOutput.print(CSVText.plain.text(of: value))
    }
    guard !MachineAnswer.isRefusal(value, to: key) else { throw ExitCode(CommandFailure.generalExitCode) }
    if isRun, value["status"]?.text != "complete" {
        throw Failure(.incompleteData, EnvelopePrinter.failure(value))
    }
}

struct SetCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "set",
        abstract: "Store a value under a key, or call a method with the value as its last argument.")

    @Argument var key: String
    @Argument(help: "The value; - reads standard input, to its last byte.")
    var value: String
    @OptionGroup var client: ClientOptions

    func run() async throws {
        let bytes = value == "-" ? try FilePath.readStandardInput() : CommandLineBytes.bytes(of: value)
        let argument = Value.object(["key": .bytes(CommandLineBytes.bytes(of: key)), "value": .bytes(bytes)])
        let answer = try await client.withClient { client async throws(Failure) in
            try await client.control(.store, argument)
        }
        StandardOutput.printLine(client.json ? MachineAnswer.json(answer) : answer.answer)
        guard !MachineAnswer.isRefusal(answer, to: key) else { throw ExitCode(CommandFailure.generalExitCode) }
    }
}
