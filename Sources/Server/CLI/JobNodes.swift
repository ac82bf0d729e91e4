// `cacheismo job list|cancel`: the jobs of all nodes, how far one is, and its end.

import ArgumentParser
import Engine
import Gather

/// Asks every node of a cluster about jobs.
enum JobNodes {
    static func ask(
        _ verb: ControlVerb, _ argument: Value, _ client: NodeClient
    ) async throws(Failure) -> (answers: [(node: String, answer: Value)], areAll: Bool) {
        var answers: [(node: String, answer: Value)] = []
        var lastFailure: Failure?
        for (name, address) in try await client.nodes() {
            let node = client.peer(at: address)
            defer { node.close() }
            do {
                answers.append((name, try await node.control(verb, argument, timeoutMilliseconds: 2_000)))
            } catch {
                CommandFailure.printError("\(name) is left out: \(error.message)")
                lastFailure = error
            }
        }
        // Nobody's answer is not the same as nothing to tell.
        if answers.isEmpty, let lastFailure { throw lastFailure }
        return (answers, lastFailure == nil)
    }

    static func argument(_ query: UInt64) -> Value { .object(["query": .int(Int64(bitPattern: query))]) }

    /// Rows done with, and rows of the frames that the job has asked for so far, on all nodes.
    static func progress(of query: UInt64, _ client: NodeClient) async throws(Failure) -> (rows: Int, expected: Int) {
        var sum = (rows: 0, expected: 0)
        for (_, answer) in try await ask(.jobProgress, argument(query), client).answers {
            if case .int(let rows)? = answer["rows"] { sum.rows = sum.rows.clampedAdding(Int(rows)) }
            if case .int(let rows)? = answer["expected"] { sum.expected = sum.expected.clampedAdding(Int(rows)) }
        }
        return sum
    }

    /// Every job that some node coordinates, under way or just over: `{id, job, node, status, ms}`.
    /// `areAll`: every node has answered.
    static func list(_ client: NodeClient) async throws(Failure) -> (jobs: [Value], areAll: Bool) {
        var jobs: [Value] = []
        let (answers, areAll) = try await ask(.listJobs, .null, client)
        for (node, answer) in answers {
            guard case .array(let list) = answer else { continue }
            for job in list {
                jobs.append(
                    .object([
                        "id": job["id"] ?? .null, "job": job["job"] ?? .null, "node": .string(node),
                        "status": job["status"] ?? .null, "ms": job["ms"] ?? .null,
                    ]))
            }
        }
        return (jobs, areAll)
    }

    /// A run, how far it is, and whether every node has answered.
    struct Run: Sendable {
        let value: Value
        let areAll: Bool
    }

    /// Nil where no node knows of it.
    static func run(_ query: UInt64, _ client: NodeClient) async throws(Failure) -> Run? {
        let (jobs, areAll) = try await list(client)
        guard let job = jobs.first(where: { $0["id"]?.text == String(query, radix: 16) }),
            case .map(var pairs) = job
        else { return nil }
        let (rows, expected) = try await progress(of: query, client)
        pairs.append(.init(.string("rows"), .int(Int64(rows))))
        pairs.append(.init(.string("expected"), .int(Int64(expected))))
        return Run(value: .map(pairs), areAll: areAll)
    }

    static func query(_ id: String) throws(Failure) -> UInt64 {
        guard let query = UInt64(id, radix: 16) else {
            throw Failure(.scriptError, "'\(id)' is no job's id; see: cacheismo job list")
        }
        return query
    }

    static func unknown(_ id: String) -> Failure {
        Failure(.miss, "no node knows a job \(id) that is under way; see: cacheismo job list")
    }
}

struct JobList: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "The jobs of all nodes: those under way, and the last 32 of each node that are over.")

    @OptionGroup var tables: TableOptions
    @OptionGroup var client: ClientOptions

    func run() async throws {
        let form = try tables.form(client)
        let (jobs, areAll) = try await client.withClient { client async throws(Failure) in
            try await JobNodes.list(client)
        }
        form.print(.array(jobs), nothing: "no job is under way or just over")
        guard areAll else { throw ExitCode(CommandFailure.generalExitCode) }
    }
}

struct JobCancel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel", abstract: "End a job that is under way: who waits for it gets the reason `cancelled`.")

    @Argument(help: "The job's id, as job list shows it.")
    var id: String

    @OptionGroup var client: ClientOptions

    func run() async throws {
        let id = id
        let query = try JobNodes.query(id)
        let answers = try await client.withClient { client async throws(Failure) in
            try await JobNodes.ask(.cancelJob, JobNodes.argument(query), client).answers
        }
        guard answers.contains(where: { $0.answer == .bool(true) }) else { throw JobNodes.unknown(id) }
        print("cancelled \(id)")
    }
}
