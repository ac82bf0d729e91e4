// `cacheismo demo`: three nodes, real flights, jobs over them, virtual keys, and a way to go on.

import ArgumentParser
import Engine
import Gather
import UnixSignals
import Glibc

struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Start three nodes, load the flights of 2013, show what they do; stay up until Ctrl-C.")

    @Option(help: "Where datasets/ and jobs/ are.")
    var root = "."

    @Option(help: "The first of three ports; others are taken when they are busy.")
    var port = 11211

    private static let jobs = ["delays_by_carrier", "busiest_destinations", "delays_by_month_and_origin"]

    func run() async throws {
        let cluster = try await DemoCluster.start(firstPort: port)
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        let interrupt = Task {
            for await _ in signals {
                cluster.stop()
                print("\nAll nodes are stopped.")
                Glibc.exit(0)
            }
        }
        do {
            try await show(cluster)
        } catch {
            cluster.stop()
            throw error
        }
        if isatty(STDIN_FILENO) == 1 {
            print("\nThe nodes stay up until Ctrl-C.")
            await interrupt.value
        }
        cluster.stop()
        print("\nAll nodes are stopped.")
    }

    private func show(_ cluster: DemoCluster) async throws {
        let clients = cluster.addresses.map { NodeClient($0) }
        defer { for client in clients { client.close() } }
        try await loadFlights(clients[0])
        for job in Self.jobs { try await define(job, on: clients[0]) }
        for (index, job) in Self.jobs.enumerated() { try await runJob(job, on: clients[index % clients.count]) }
        try await showKeys(clients, cluster.addresses)
        printNextSteps(cluster)
    }

    private func loadFlights(_ client: NodeClient) async throws {
        let report = try await FrameLoader(
            frame: "flights", file: "\(root)/datasets/flights.csv.zst", schemaText: nil, skipsBadRows: false,
            client: client
        ).run()
        print(report.text)
    }

    /// For whoever asks for it by its name: the page, and the lines at the end.
    private func define(_ name: String, on client: NodeClient) async throws {
        let source = try FilePath.read("\(root)/jobs/\(name).lua")
        _ = try await client.control(.store, .object(["key": .string("job:define:\(name)"), "value": .bytes(source)]))
    }

    private func runJob(_ name: String, on client: NodeClient) async throws {
        let file = "\(root)/jobs/\(name).lua"
        print("\n$ cacheismo job run \(file) --server \(client.address)")
        let request = JobRequest(name: name, source: try FilePath.read(file))
        try EnvelopePrinter.print(
            try await client.control(.runJob, request.value, timeoutMilliseconds: 32_000), .table)
    }

    /// Each key is asked on another node than the one that owns it.
    private func showKeys(_ clients: [NodeClient], _ addresses: [HostPort]) async throws {
        let view = TopologyView(
            try Topology(
                nodes: addresses.enumerated().map {
                    Node(name: "n\($0.offset + 1)", host: $0.element.host, port: $0.element.port)
                }))
        /// One of the two nodes that do not own it.
        func other(than object: String, second: Bool = false) -> NodeClient {
            let owner = Array(object.utf8).withUnsafeBytes { view.place(of: $0).node }
            return clients[(owner + (second ? 2 : 1)) % clients.count]
        }
        func show(_ key: String, on client: NodeClient) async throws {
            let answer = try await client.fetch(key)
            print("get \(key)  ->  \(String(decoding: answer.answer, as: UTF8.self))   (asked on \(client.address))")
        }
        print("\nA plain key, stored on one node and read on another, while a third one owns it:")
        let storing = other(than: "greeting")
        let stored = try await storing.control(
            .store, .object(["key": .string("greeting"), "value": .string("hello from a memcached client")]))
        print("set greeting  ->  \(String(decoding: stored.answer, as: UTF8.self))   (asked on \(storing.address))")
        try await show("greeting", on: other(than: "greeting", second: true))
        print("\nA quota of 5 a day, on a node that does not own it:")
        try await show("quota:new:alice:5:day", on: other(than: "alice"))
        for _ in 1...2 { try await show("quota:addandcheck:alice:3", on: other(than: "alice")) }
        print("\nA sliding window over the last 3 values:")
        try await show("swcounter:new:latency:3", on: other(than: "latency"))
        for value in [10, 20, 60, 40] { try await show("swcounter:add:latency:\(value)", on: other(than: "latency")) }
        try await show("swcounter:getavg:latency", on: other(than: "latency"))
        try await show("swcounter:getmax:latency", on: other(than: "latency"))
    }

    private func printNextSteps(_ cluster: DemoCluster) {
        let (addresses, pages) = (cluster.addresses, cluster.pages)
        let program = CommandLine.arguments.first ?? "cacheismo"
        print(
            """

            Three nodes take memcached clients at \(addresses.map(\.description).joined(separator: ", ")). Try:
              \(program) job run jobs/delays_by_carrier.lua --set min_delay=15 --server \(addresses[1])
              printf 'get quota:addandcheck:alice:1\\r\\nquit\\r\\n' | nc \(addresses[2].host) \(addresses[2].port)

            The page is at http://\(pages[0])/ and at the other nodes' \(pages[1]) and \(pages[2]). The same for programs:
              curl -s 'http://\(pages[0])/v1/jobs/delays_by_carrier/run?min_delay=15'
              curl -s 'http://\(pages[1])/v1/get?key=quota:getleft:alice&key=swcounter:getavg:latency'
              curl -s -X POST http://\(pages[2])/v1/call -H 'Content-Type: application/json' \\
                -d '{"type":"quota","method":"addandcheck","object":"alice","args":[1]}'
            """)
    }
}
