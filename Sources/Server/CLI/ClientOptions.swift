// What every command that talks to a node takes: which node, and whether a machine reads the answer.

import ArgumentParser
import Engine
import Gather
import Glibc

struct ClientOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Any node of the cluster.", valueName: "host:port"))
    var server: HostPort = HostPort(host: "127.0.0.1", port: 11211)

    @Option(help: ArgumentHelp("Who you are, where a node was started with -Y.", valueName: "name"))
    var login: String?

    @Option(
        name: .customLong("password-file"),
        help: ArgumentHelp("Its first line is the password; CACHEISMO_PASSWORD unless given.", valueName: "file"),
        completion: .file())
    var passwordFile: String?

    @Flag(help: "Print JSON for machines instead of a table for people.")
    var json = false

    /// Runs `work` with a client that is closed afterwards.
    func withClient<R>(_ work: (NodeClient) async throws(Failure) -> R) async throws(Failure) -> R {
        let client = NodeClient(server, login: try credentials())
        defer { client.close() }
        do {
            return try await work(client)
        } catch {
            throw error.withHint(server: server)
        }
    }
}

extension ClientOptions {
    func credentials() throws(Failure) -> Login {
        guard let login else {
            guard passwordFile == nil else { throw Failure(.scriptError, "--password-file goes with --login NAME") }
            return .none
        }
        if let passwordFile {
            let line = try FilePath.read(passwordFile).prefix { $0 != 0x0A && $0 != 0x0D }
            return Login(name: login, password: Array(line))
        }
        guard let password = getenv("CACHEISMO_PASSWORD").map({ String(cString: $0) }) else {
            throw Failure(
                .scriptError, "--login \(login): give the password in CACHEISMO_PASSWORD or --password-file FILE")
        }
        return Login(name: login, password: Array(password.utf8))
    }
}

extension HostPort: ExpressibleByArgument {
    package init?(argument: String) { self.init(argument) }
    package var defaultValueDescription: String { description }
}
