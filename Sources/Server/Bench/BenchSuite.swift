// The standard workloads, run on every server in turn, and the table of what they cost.

import Engine

struct BenchSuite {
    let workloads: [BenchWorkload]
    let kinds: [BenchServer.Kind]
    let rounds: Int
    let memory: Int
    let threads: Int
    let firstPort: Int

    /// The one that is compared with the others: three nodes where there are three, else one.
    private var subject: BenchServer.Kind? { [.cluster, .cacheismo].first { kinds.contains($0) } }

    static let workloads: [BenchWorkload] =
        [
            BenchWorkload(name: "get, depth 1, 50 connections", operation: .get),
            BenchWorkload(name: "get, depth 32, 8 connections", operation: .get, connections: 8, depth: 32),
            BenchWorkload(name: "set, depth 32, 8 connections", operation: .set, connections: 8, depth: 32),
            BenchWorkload(name: "multiget of 100 keys", operation: .multiget(keys: 100), connections: 8),
            BenchWorkload(
                name: "get of 64 KiB values", operation: .get, connections: 8, keys: 2_000, valueBytes: 64 << 10),
            BenchWorkload(name: "90 % get, Zipf 0.99, depth 1", operation: .mixed(setShare: 0.1), zipf: 0.99),
            BenchWorkload(name: "get at half load, 50 connections", operation: .get, isHalfLoad: true),
        ] + methods

    /// Any key asked of one node of three, which forwards two thirds of them.
    static let clusterWorkloads: [BenchWorkload] =
        workloads.filter { workload in
            switch workload.operation {
            case .get: workload.valueBytes == 100 && !workload.isHalfLoad
            case .set, .multiget: true
            case .mixed: false
            case .method: workload.name.hasPrefix("map:get")
            }
        }

    /// Methods of objects beside the same as scripts of redis, called by EVALSHA.
    private static let methods: [BenchWorkload] = [
        (
            "map:get", "map:get:o%d:f", "map:new:o%d map:put:o%d:f:v",
            "local v = redis.call('HGET', KEYS[1], 'f') if not v then redis.call('HSET', KEYS[1], 'f', 'v') end "
                + "return 'f : ' .. (v or 'v')"
        ),
        ("set:put", "set:put:o%d:a", "set:new:o%d", "redis.call('SADD', KEYS[1], 'a') return 'SUCCESS'"),
        (
            "swcounter:add", "swcounter:add:o%d:5", "swcounter:new:o%d",
            "redis.call('LPUSH', KEYS[1], '5') redis.call('LTRIM', KEYS[1], 0, 15) return 'SUCCESS'"
        ),
    ].flatMap { name, template, setup, script in
        let operation = BenchWorkload.Operation.method(template: template, setup: setup, script: script)
        return [
            BenchWorkload(name: "\(name), depth 1, 50 connections", operation: operation),
            BenchWorkload(name: "\(name), depth 32, 8 connections", operation: operation, connections: 8, depth: 32),
        ]
    }

    func run() async throws {
        print(
            "server CPU an operation in µs, of all its processes, medians of \(rounds) rounds; ratio: "
                + "\(subject?.rawValue ?? "ours") to the other")
        var rows: [Value] = []
        for workload in workloads {
            let row = try await measure(workload)
            rows.append(row)
            print(Table(.array([row]))?.text ?? "")
            print("")
        }
        print(Table(.array(rows))?.text ?? "")
    }

    private func measure(_ workload: BenchWorkload) async throws -> Value {
        var servers: [BenchServer] = []
        defer { for server in servers { server.stop() } }
        for (index, kind) in kinds.enumerated() where kind.hasMethods || !workload.isMethod {
            if let server = try await BenchServer.start(
                kind, port: firstPort + index * BenchServer.portsMax, memoryMegabytes: memory, threads: threads)
            {
                servers.append(server)
            }
        }
        let workload = try await withRate(workload, servers)
        var results: [[BenchResult]] = Array(repeating: [], count: servers.count)
        for _ in 0..<rounds {
            for (index, server) in servers.enumerated() {
                results[index].append(try await measure(workload, on: server))
            }
        }
        return row(workload, servers, results)
    }

    private func measure(_ workload: BenchWorkload, on server: BenchServer) async throws -> BenchResult {
        let wire = workload.isBinary && server.wire == .memcached ? .binary : server.wire
        var run = BenchRun(
            workload: workload, wire: wire, address: server.address, pids: server.processes.map(\.identifier))
        if case .method(_, _, let script) = workload.operation, server.kind == .redis {
            run.scriptHash = try await server.loadScript(script)
        }
        return try await run.measure()
    }

    /// Half load is half of what the slowest of the servers does when asked as fast as it answers: the same for all.
    private func withRate(_ workload: BenchWorkload, _ servers: [BenchServer]) async throws -> BenchWorkload {
        guard workload.isHalfLoad else { return workload }
        var slowest = Double.infinity
        for server in servers {
            slowest = min(slowest, try await measure(workload, on: server).operationsPerSecond)
        }
        var workload = workload
        workload.requestsPerSecond = slowest / 2
        workload.name += " (\(Int(slowest / 2)) a second)"
        return workload
    }

    private func row(_ workload: BenchWorkload, _ servers: [BenchServer], _ results: [[BenchResult]]) -> Value {
        var pairs = [Value.Pair(.string("workload"), .string(workload.name))]
        func add(_ name: String, _ number: Double) { pairs.append(Value.Pair(.string(name), .double(number))) }
        let costs = results.map { Self.median($0.map(\.serverCPUPerOperation)) }
        for (server, (cost, rounds)) in zip(servers, zip(costs, results)) {
            add("\(server.kind.rawValue) µs", cost)
            pairs.append(
                Value.Pair(
                    .string("\(server.kind.rawValue) p99"), .int(Int64(Self.median(rounds.map { Double($0.p99) })))))
        }
        if let own = servers.firstIndex(where: { $0.kind == subject }) {
            for (index, server) in servers.enumerated() where index != own {
                add("to \(server.kind.rawValue)", costs[own] / costs[index])
                if workload.isHalfLoad {
                    let p99 = [own, index].map { at in Self.median(results[at].map { Double($0.p99) }) }
                    add("p99 to \(server.kind.rawValue)", p99[0] / p99[1])
                }
            }
        }
        return .map(pairs)
    }

    static func median(_ numbers: [Double]) -> Double {
        let sorted = numbers.sorted()
        guard !sorted.isEmpty else { return 0 }
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}
