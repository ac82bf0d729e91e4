// `cacheismo cluster status`: which nodes there are and which of them answer.

import ArgumentParser
import Engine
import Gather

struct ClusterCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cluster", abstract: "Look at the cluster.", subcommands: [ClusterStatus.self])
}

struct ClusterStatus: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "List the nodes; exit code 0 only when all of them answer.")

    @OptionGroup var client: ClientOptions

    func run() async throws {
        let nodes = try await client.withClient { client async throws(Failure) in try await client.nodes() }
        var rows: [Value] = []
        var allAnswer = true
        for node in nodes {
            let peer = NodeClient(node.address)
            let state: String
            do {
                _ = try await peer.control(.topology, .null, timeoutMilliseconds: 1_000)
                state = "up"
            } catch {
                state = "down: \(error.message)"
                allAnswer = false
            }
            peer.close()
            rows.append(
                .object([
                    "node": .string(node.name), "address": .string(node.address.description), "state": .string(state),
                ]))
        }
        let result = Value.array(rows)
        print(client.json ? String(decoding: result.json, as: UTF8.self) : Table(result)?.text ?? "")
        guard allAnswer else { throw ExitCode(CommandFailure.generalExitCode) }
    }
}
