// `cacheismo cluster status|owner`: which nodes there are, what each knows of the others, and where a key lives.

import ArgumentParser
import Engine
import Gather

struct ClusterCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cluster", abstract: "Look at the cluster.", subcommands: [ClusterStatus.self, ClusterOwner.self])
}

struct ClusterStatus: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "List the nodes; exit code 0 only when all of them are up, and none refuses another.")

    @OptionGroup var tables: TableOptions
    @OptionGroup var client: ClientOptions

    func run() async throws {
        let form = try tables.form(client)
        let report = try await client.withClient { client async throws(Failure) in try await ClusterReport(client) }
        form.print(report.table, whole: report.value)
        for reason in report.reasons + report.conflicts { CommandFailure.printError(reason) }
        guard report.allAreUp else { throw ExitCode(CommandFailure.generalExitCode) }
    }
}

struct ClusterOwner: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "owner", abstract: "Say where a key lives: its node, partition and shard.")

    @Argument(help: "A plain key, or a virtual one, which lives where its object does.")
    var key: String

    @OptionGroup var tables: TableOptions
    @OptionGroup var client: ClientOptions

    func run() async throws {
        let form = try tables.form(client)
        let key = CommandLineBytes.bytes(of: key)
        let owner = try await client.withClient { client async throws(Failure) in try await KeyOwner(of: key, client) }
        form.print(.array([owner.value]), whole: owner.value)
        guard let failure = owner.failure else { return }
        CommandFailure.printError("the shard is not known: \(failure.message)")
        throw ExitCode(CommandFailure.generalExitCode)
    }
}

/// Where a key lives, by the node that was asked; on which shard, by the one that owns it.
struct KeyOwner: Sendable {
    let value: Value
    /// Why the owner did not say which shard it is.
    private(set) var failure: Failure?

    private static let timeoutMilliseconds = 2_000

    init(of key: [UInt8], _ client: NodeClient) async throws(Failure) {
        let argument = Value.object(["key": .bytes(key)])
        let told = try await client.control(.whereabouts, argument, timeoutMilliseconds: Self.timeoutMilliseconds)
        guard let kind = told["kind"]?.text else {
            throw Failure(.scriptVersion, "\(client.address) answers in a version that is not understood")
        }
        guard let name = told["node"]?.text else {
            value = Self.row(key, kind, of: told, address: nil, shard: nil)
            return
        }
        let address = try await client.nodes().first { $0.name == name }?.address
        var shard = told["shard"]
        if shard == nil || shard == .null, let address {
            let node = client.peer(at: address)
            defer { node.close() }
            do throws(Failure) {
                shard = try await node.control(.whereabouts, argument, timeoutMilliseconds: Self.timeoutMilliseconds)[
                    "shard"]
            } catch {
                failure = error
            }
        }
        value = Self.row(key, kind, of: told, address: address, shard: shard)
    }

    private static func row(
        _ key: [UInt8], _ kind: String, of told: Value, address: HostPort?, shard: Value?
    ) -> Value {
        .object([
            "key": .bytes(key), "kind": .string(kind), "by": told["by"] ?? .null,
            "node": told["node"] ?? .string("any"), "address": address.map { .string($0.description) } ?? .null,
            "partition": told["partition"] ?? .null, "shard": shard ?? .null,
        ])
    }
}
