// A job that asks all nodes for the same keys at the same time: what each of them says of each key.

import Coordination
import Engine
import Gather

extension Simulation {
    private static let parallelSource = """
        job.params = { keys = "" }
        function run(p)
          local keys, wanted = { "node:name" }, {}
          for key in p.keys:gmatch("%S+") do keys[#keys + 1] = key end
          for _, server in ipairs(cluster.servers()) do wanted[server] = keys end
          local values, missing = getInParallel(wanted)
          return { values = values, missing = missing }
        end
        """

    func getInParallel(_ run: NodeRunning, _ done: @escaping () -> Void) {
        var wanted: [ItemHistory] = []
        for _ in 0..<(1 + chance.below(8)) {
            let item = items[chance.below(items.count)]
            if !wanted.contains(where: { $0 === item }) { wanted.append(item) }
        }
        let keys = wanted.map(\.key).joined(separator: " ")
        let number = asked("getInParallel \(keys)")
        let (begin, milliseconds) = (world.time, 3_000)
        var request = JobRequest(
            name: "ask", source: Array(Self.parallelSource.utf8), parameters: ["keys": .string(keys)],
            timeoutMilliseconds: milliseconds)
        request.requirement = chance.chance(50) ? .any : .all
        let connection = command(run)
        connection.control(.runJob, request.value, milliseconds: milliseconds + 500) { [unowned self] result in
            let envelope = try? result.get()
            let status = envelope?["status"]?.text ?? "none"
            wasAnswered(number, "getInParallel", status == "complete" || status == "partial")
            checkTime("getInParallel", run, since: begin, milliseconds: milliseconds + 500)
            if demandsProgress, status != "complete" {
                violate("getInParallel at \(run.node.name): \(envelope?["error"] ?? .string(status))")
            }
            if status == "complete" || status == "partial", let found = envelope?["result"] {
                judge(found, wanted, at: run, isComplete: status == "complete", from: begin)
            }
            close(connection)
            done()
        }
    }

    /// Every node has said something of every key; of the values, and the misses, each may be.
    private func judge(
        _ found: Value, _ wanted: [ItemHistory], at run: NodeRunning, isComplete: Bool, from begin: UInt64
    ) {
        for node in nodes {
            func value(_ key: String) -> String? { found["values"]?[node.name]?[key]?.text }
            func reason(_ key: String) -> String? { found["missing"]?[node.name]?[key]?["reason"]?.text }
            let place = "getInParallel at \(run.node.name) of \(node.name)"
            if let name = value("node:name"), name != node.name { violate("\(place): its name is \(name)") }
            for key in ["node:name"] + wanted.map(\.key) {
                let (value, reason) = (value(key), reason(key))
                if (value == nil) == (reason == nil) { violate("\(place): \(key) is there and missing, or neither") }
                if isComplete, let reason, reason != "miss" { violate("\(place): \(key) is missing: \(reason)") }
                guard let item = wanted.first(where: { $0.key == key }), reason ?? "miss" == "miss" else { continue }
                if let problem = item.problem(with: value, from: begin, to: world.time) {
                    violate("\(place): \(key): \(problem)")
                }
            }
        }
    }
}
