// The `cacheismo` command: serve (the default), load, job, query, get, set, cluster, top, script, bench, demo.

import ArgumentParser

@main
struct Cacheismo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cacheismo",
        abstract: "A cache that computes: memcached's protocol, objects with methods, jobs over all nodes.",
        version: CacheismoVersion.product,
        subcommands: [
            Serve.self, Load.self, Job.self, Query.self, GetCommand.self, SetCommand.self, ClusterCommand.self,
            Top.self, ScriptCommand.self, Bench.self, Demo.self, ManualCommand.self,
        ],
        defaultSubcommand: Serve.self)

    static func main() async {
        StandardOutput.prepare()
        do {
            var command = try parseAsRoot(OptionOrigins.arguments())
            if let command = command as? Serve { return try await command.serve() }
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
            try StandardOutput.finish()
        } catch {
            CommandFailure.exit(with: error)
        }
    }
}
