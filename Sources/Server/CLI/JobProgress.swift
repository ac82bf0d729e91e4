// How far a job is that a command waits for: a bar on a terminal, from when it has taken a third of a second.

import Engine
import Gather

struct JobProgress: Sendable {
    private let query: UInt64
    private let name: String
    private let options: ClientOptions

    private static let patienceMilliseconds = 300
    private static let intervalMilliseconds = 150

    init(of query: UInt64, named name: String, _ options: ClientOptions) {
        self.query = query
        self.name = name
        self.options = options
    }

    /// Draws where a person looks on, until it is cancelled.
    func watch() -> Task<Void, Never> {
        Task {
            guard StandardError.isTerminal,
                (try? await Task.sleep(for: .milliseconds(Self.patienceMilliseconds))) != nil
            else { return }
            var bar = ProgressBar(name)
            _ = try? await options.withClient { client async throws(Failure) in
                // One connection to each node for as long as it takes.
                let nodes = try await client.nodes().map { client.peer(at: $0.address) }
                defer { for node in nodes { node.close() } }
                while !Task.isCancelled {
                    let (rows, expected) = await Self.rows(of: query, on: nodes)
                    let speed = Int(Double(rows) / (bar.elapsedSeconds + Double(Self.patienceMilliseconds) / 1_000))
                    bar.update(
                        // Several plans of one job go over the same rows: how many more there will be nobody knows.
                        fraction: expected > 0 && rows <= expected ? Double(rows) / Double(expected) : nil,
                        "\(Counted.noun(rows, "row")), \(Counted.grouped(speed)) a second")
                    guard (try? await Task.sleep(for: .milliseconds(Self.intervalMilliseconds))) != nil else { break }
                }
            }
            bar.finish()
        }
    }

    /// Rows done with, and rows of the frames that the job has asked for so far, on all nodes that say so.
    private static func rows(of query: UInt64, on nodes: [NodeClient]) async -> (done: Int, expected: Int) {
        await withTaskGroup(of: Value?.self) { group in
            for node in nodes {
                group.addTask {
                    try? await node.control(.jobProgress, JobNodes.argument(query), timeoutMilliseconds: 1_000)
                }
            }
            return await group.reduce(into: (0, 0)) { sum, answer in
                if case .int(let rows)? = answer?["rows"] { sum.0 = sum.0.clampedAdding(Int(rows)) }
                if case .int(let rows)? = answer?["expected"] { sum.1 = sum.1.clampedAdding(Int(rows)) }
            }
        }
    }
}
