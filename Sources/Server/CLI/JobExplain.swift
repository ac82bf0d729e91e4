// `cacheismo job explain FILE`: the plans of a job, what they would read and how they would be worked out.

import ArgumentParser
import Engine
import Gather

struct JobExplain: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Say what a job would do, without running it.")

    @OptionGroup var job: JobChoice
    @OptionGroup var client: ClientOptions

    func run() async throws {
        let file = try job.readFile()
        let explanation = try await client.withClient { client async throws(Failure) in
            var request = try await job.request(file, client)
            try request.take(assignments: job.set)
            return try await client.control(
                .explainJob, request.value, timeoutMilliseconds: request.timeoutMilliseconds + 2_000)
        }
        print(client.json ? String(decoding: explanation.json, as: UTF8.self) : Self.text(explanation))
    }

    static func text(_ explanation: Value) -> String {
        var lines = ["\(explanation["job"]?.text ?? "?"): \(explanation["about"]?.text ?? "a job")"]
        guard case .array(let plans)? = explanation["plans"], !plans.isEmpty else {
            return lines[0] + "\nno plan on a frame: plain Lua"
        }
        for plan in plans {
            let asked = plan["plan"] ?? .null
            lines.append("")
            lines.append("frame \(asked["frame"]?.text ?? "?")")
            for step in ["with", "where", "any", "group", "agg", "rows"] {
                guard case .array(let list)? = asked[step] else { continue }
                for element in list { lines.append("  \(step) \(words(element))") }
            }
            let (chunks, pruned, cached) = (count(plan, "chunks"), count(plan, "pruned"), count(plan, "cached"))
            lines.append(
                "  \(Counted.noun(count(plan, "rows"), "row")) in \(Counted.noun(chunks, "chunk")) of "
                    + "\(Counted.noun(count(plan, "shards"), "shard")): \(pruned) ruled out by their values, "
                    + "\(cached) known from earlier runs, \(max(0, chunks - max(pruned, cached))) to read")
            for (field, title) in [("groups", "groups"), ("kernels", "kernel"), ("reads", "reads")] {
                guard case .array(let list)? = plan[field] else { continue }
                for element in list { lines.append("  \(title) \(element.text ?? "")") }
            }
        }
        return lines.joined(separator: "\n")
    }

    private static func count(_ value: Value, _ field: String) -> Int {
        if case .int(let count)? = value[field] { Int(count) } else { 0 }
    }

    private static func words(_ value: Value) -> String {
        guard case .array(let parts) = value else { return String(decoding: value.answer, as: UTF8.self) }
        return parts.map { String(decoding: $0.answer, as: UTF8.self) }.joined(separator: " ")
    }
}
