// `cacheismo bench`: our server, memcached and redis under the same loads, in turn, several rounds, medians and ratios.

import ArgumentParser
import Engine

struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Measure this program beside memcached and redis: each workload in turn on each, medians of the rounds.")

    @Option(help: "Rounds; the servers take turns within each.")
    var rounds = 3

    @Option(help: "Seconds of each measurement.")
    var seconds = 2.0

    @Option(help: "Only workloads whose name contains this.")
    var only: String?

    @Option(help: "Servers, separated by commas: cacheismo, memcached, redis, cluster (three nodes), twemproxy.")
    var servers: String?

    @Flag(help: "Three nodes asked through one of them, beside one node and twemproxy before three memcached.")
    var cluster = false

    @Option(help: "Memory of each server, in megabytes.")
    var memory = 1024

    @Option(help: "Serving threads of cacheismo and memcached.")
    var threads = 1

    @Option(help: "The first port; each server takes up to five from there on.")
    var port = 31311

    @Option(help: "A workload of your own instead: get, set, a share of sets (0.1), or a multiget of N keys (m100).")
    var operation: String?

    @Option(help: "Connections of your own workload.")
    var connections = 50

    @Option(help: "Requests sent before the first reply is awaited, of your own workload.")
    var depth = 1

    @Option(help: "Keys of your own workload.")
    var keys = 100_000

    @Option(name: .customLong("value-bytes"), help: "Bytes of a value of your own workload.")
    var valueBytes = 100

    @Option(help: "Zipf exponent of your own workload, from 0 to below 1; uniform without.")
    var zipf: Double?

    @Flag(help: "Ask memcached and its kin in the binary protocol; workloads without methods.")
    var binary = false

    @Option(help: "Requests a second of your own workload, over all connections; as fast as they are answered without.")
    var rate: Double?

    func validate() throws {
        guard (rate ?? 1) > 0 else { throw ValidationError("--rate needs more than 0 requests a second") }
        guard (1...64).contains(threads) else { throw ValidationError("--threads \(threads): from 1 to 64") }
    }

    func run() async throws {
        var workloads = cluster ? BenchSuite.clusterWorkloads : BenchSuite.workloads
        let servers = servers ?? (cluster ? "cluster,cacheismo,twemproxy" : "cacheismo,memcached,redis")
        if let operation { workloads = [try ownWorkload(operation)] }
        if let only { workloads = workloads.filter { $0.name.contains(only) } }
        if binary {
            workloads = workloads.filter { !$0.isMethod }
            for index in workloads.indices { workloads[index].isBinary = true }
        }
        guard !workloads.isEmpty else { throw Failure(.miss, "no workload's name contains '\(only ?? "")'") }
        for index in workloads.indices { workloads[index].seconds = seconds }
        var kinds: [BenchServer.Kind] = []
        for name in servers.split(separator: ",") {
            guard let kind = BenchServer.Kind(rawValue: String(name)) else {
                throw Failure(.miss, "there is no server '\(name)': \(Self.kindNames)")
            }
            kinds.append(kind)
        }
        try await BenchSuite(
            workloads: workloads, kinds: kinds, rounds: rounds, memory: memory, threads: threads, firstPort: port
        ).run()
    }

    private static var kindNames: String { BenchServer.Kind.allCases.map(\.rawValue).joined(separator: ", ") }

    private func ownWorkload(_ text: String) throws(Failure) -> BenchWorkload {
        let operation: BenchWorkload.Operation
        switch text {
        case "get": operation = .get
        case "set": operation = .set
        default:
            if let share = Double(text), (0...1).contains(share) {
                operation = .mixed(setShare: share)
            } else if text.hasPrefix("m"), let count = Int(text.dropFirst()), (1...1_000).contains(count) {
                operation = .multiget(keys: count)
            } else {
                throw Failure(.scriptError, "--operation \(text): get, set, a share of sets as in 0.1, or m100")
            }
        }
        return BenchWorkload(
            name: "\(text) depth \(depth), \(connections) connections", operation: operation, connections: connections,
            depth: depth, keys: keys, valueBytes: valueBytes, zipf: zipf, requestsPerSecond: rate)
    }
}
