// `cacheismo top`: what the nodes do, on a terminal anew each second, else once.

import ArgumentParser
import Dispatch
import Engine
import Gather
import UnixSignals

struct Top: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what the nodes do: rates, hot keys, jobs under way; anew each second on a terminal, else once.")

    @Flag(help: "Print once, on a terminal too.")
    var once = false

    @OptionGroup var client: ClientOptions

    private static let intervalMilliseconds = 1_000

    func run() async throws {
        let isOnce = once || client.json || !Terminal.isThere
        let options = client
        let last = try await options.withClient { client async throws(Failure) in
            let nodes = try await WatchedNodes(client)
            defer { nodes.close() }
            return isOnce ? try await Self.printOnce(nodes, options) : try await Self.watch(nodes)
        }
        guard isOnce, !last.isWhole else { return }
        throw ExitCode(CommandFailure.generalExitCode)
    }

    /// Two looks, a second apart, so that there are rates.
    private static func printOnce(
        _ nodes: WatchedNodes, _ options: ClientOptions
    ) async throws(Failure) -> ClusterActivity {
        let before = await nodes.look()
        try? await Task.sleep(for: .milliseconds(intervalMilliseconds))
        let now = await nodes.look()
        if options.json {
            StandardOutput.printLine(MachineAnswer.json(now.value(since: before)))
        } else {
            print(TopScreen(now, since: before, time: nodes.time).text)
        }
        return now
    }

    // MARK: On a terminal

    private enum Event: Sendable {
        case look(ClusterActivity)
        case key(UInt8)
        case size
        case end
    }

    private static let help = "q or Ctrl-C ends"

    /// Draws until somebody has seen enough.
    private static func watch(_ nodes: WatchedNodes) async throws(Failure) -> ClusterActivity {
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup, .sigwinch)
        let (events, continuation) = AsyncStream<Event>.makeStream()
        var before: ClusterActivity?
        var now = await nodes.look()
        let terminal = Terminal()
        defer { terminal.restore() }
        let tasks = [
            Task {
                for await signal in signals { continuation.yield(signal == .sigwinch ? .size : .end) }
            },
            Task {
                while (try? await Task.sleep(for: .milliseconds(intervalMilliseconds))) != nil {
                    continuation.yield(.look(await nodes.look()))
                }
            },
        ]
        defer { for task in tasks { task.cancel() } }
        // Ends with the process, as nothing ends a read.
        DispatchQueue.global().async {
            while let key = Terminal.readKey() { continuation.yield(.key(key)) }
        }
        func draw() {
            let (rows, columns) = terminal.size
            terminal.draw(
                TopScreen(now, since: before, time: nodes.time).lines(rows: rows, columns: columns, help: help))
        }
        draw()
        events: for await event in events {
            switch event {
            case .look(let activity): (before, now) = (now, activity)
            case .size: break
            case .key(UInt8(ascii: "q")), .key(UInt8(ascii: "Q")), .end: break events
            case .key: continue
            }
            draw()
        }
        return now
    }
}

/// The nodes that are looked at again and again, over connections that are kept.
struct WatchedNodes: Sendable {
    private let nodes: [(name: String, client: NodeClient)]

    private static let timeoutMilliseconds = 1_000

    init(_ client: NodeClient) async throws(Failure) {
        nodes = try await client.nodes().map { ($0.name, client.peer(at: $0.address)) }
    }

    func close() { for node in nodes { node.client.close() } }

    /// All at the same time: one that is silent holds up nobody longer than a second.
    func look() async -> ClusterActivity {
        await withTaskGroup(of: (Int, ClusterActivity.Node).self) { group in
            for (index, (name, client)) in nodes.enumerated() {
                group.addTask { (index, await Self.look(at: name, client)) }
            }
            let seen = await group.reduce(into: []) { $0.append($1) }
            return ClusterActivity(nodes: seen.sorted { $0.0 < $1.0 }.map(\.1))
        }
    }

    private static func look(at name: String, _ client: NodeClient) async -> ClusterActivity.Node {
        let answer: Result<Value, Failure>
        do throws(Failure) {
            answer = .success(try await client.control(.activity, .null, timeoutMilliseconds: timeoutMilliseconds))
        } catch {
            answer = .failure(error)
        }
        var node = ClusterActivity.Node(
            name: name, address: client.address, nanoseconds: monotonicNanoseconds(), answer: answer)
        node.isRefused = client.isRefused
        return node
    }

    /// The time of day in UTC, `10:48:31 UTC`.
    var time: String {
        let text = Timestamp.text(SystemEnvironment().unixMilliseconds / 1_000 * 1_000_000)
        return "\(text.dropFirst(11).prefix(8)) UTC"
    }
}
