// What every command that talks to a node takes: which node, and whether a machine reads the answer.

import ArgumentParser
import Engine
import Gather

struct ClientOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Any node of the cluster.", valueName: "host:port"))
    var server: ServerAddress = ServerAddress(host: "127.0.0.1", port: 11211)

    @Flag(help: "Print JSON for machines instead of a table for people.")
    var json = false

    /// Runs `work` with a client that is closed afterwards.
    func withClient<R>(_ work: (NodeClient) async throws(Failure) -> R) async throws(Failure) -> R {
        let client = NodeClient(server)
        defer { client.close() }
        do {
            return try await work(client)
        } catch {
            throw error.withHint(server: server)
        }
    }
}

extension ServerAddress: ExpressibleByArgument {
    init?(argument: String) { self.init(argument) }
    var defaultValueDescription: String { description }
}
