// What the nodes of a cluster say of themselves and of each other, put together.

import Engine
import Gather

/// What the nodes say, put together: each of itself, and the one that was asked first of its peers.
struct ClusterReport: Sendable {
    struct Line: Sendable {
        var name: String
        var address: HostPort
        /// `up`, `down` or `refused`.
        var state: String
        var reason = ""
        /// The node's own word; nil when it gave none.
        var own: Value?
        /// What the node that was asked first knows of it.
        var seen: Value
    }

    private(set) var lines: [Line] = []
    /// Of frames and jobs, as the node that was asked first knows them.
    private let known: Value
    var allAreUp: Bool { lines.allSatisfy { $0.state == "up" } }

    private static let timeoutMilliseconds = 1_000

    init(_ client: NodeClient) async throws(Failure) {
        let first = try await client.control(.status, .null, timeoutMilliseconds: Self.timeoutMilliseconds * 2)
        guard case .array(let nodes)? = first["nodes"] else {
            throw Failure(.scriptVersion, "\(client.address) answers in a version that is not understood")
        }
        known = first["conflicts"] ?? .array([])
        let asked = nodes.compactMap { node -> (String, HostPort, Value)? in
            guard let name = node["name"]?.text, let host = node["host"]?.text, case .int(let port)? = node["port"]
            else { return nil }
            let isAsked = name == first["self"]?.text
            return (name, isAsked ? client.address : HostPort(host: host, port: Int(clamping: port)), node)
        }
        // All at the same time: one that is silent holds up nobody.
        let own = await withTaskGroup(of: (Int, Answer).self) { group in
            for (index, (name, address, _)) in asked.enumerated() {
                group.addTask {
                    if name == first["self"]?.text { return (index, .told(first)) }
                    let node = client.peer(at: address)
                    defer { node.close() }
                    do throws(Failure) {
                        let status = try await node.control(
                            .status, .null, timeoutMilliseconds: Self.timeoutMilliseconds)
                        return (index, .told(status))
                    } catch {
                        return (index, node.isRefused ? .refused(error.message) : .down(error.message))
                    }
                }
            }
            return await group.reduce(into: [Int: Answer]()) { $0[$1.0] = $1.1 }
        }
        for (index, (name, address, seen)) in asked.enumerated() {
            guard let answer = own[index] else { continue }
            lines.append(Self.line(name, address, seen, answer, first))
        }
        judgeEachOther(asked: first["self"]?.text ?? "")
    }

    private enum Answer: Sendable {
        case told(Value)
        case refused(String)
        case down(String)
    }

    private static func line(
        _ name: String, _ address: HostPort, _ seen: Value, _ answer: Answer, _ first: Value
    ) -> Line {
        var line = Line(name: name, address: address, state: "up", seen: seen)
        switch answer {
        case .refused(let why): (line.state, line.reason) = ("refused", why)
        case .down(let why): (line.state, line.reason) = ("down", why)
        case .told(let own):
            line.own = own
            if own["self"]?.text != name {
                line.state = "refused"
                line.reason = "the node there is '\(own["self"]?.text ?? "?")', not '\(name)'"
            } else if own["epoch"] != first["epoch"] {
                line.state = "refused"
                line.reason = "it was started with another --peers list (epoch \(own["epoch"]?.text ?? "?"))"
            }
        }
        return line
    }

    /// A node that another one refuses or can't reach is not up, whatever it answers to a command; nor is one that refuses or
    /// can't reach the one that was asked. That one's word comes first, and who is not up by it has none.
    private mutating func judgeEachOther(asked: String) {
        let order = lines.indices.sorted { lines[$0].name == asked && lines[$1].name != asked }
        for judge in order where lines[judge].state == "up" {
            guard case .array(let nodes)? = lines[judge].own?["nodes"] else { continue }
            for node in nodes {
                guard let state = node["state"]?.text, state == "refused" || state == "down" else { continue }
                let why = "\(lines[judge].name): \(node["reason"]?.text ?? "")"
                let isAboutAsked = node["name"]?.text == asked
                let at = isAboutAsked ? judge : lines.firstIndex { $0.name == node["name"]?.text }
                guard let at, lines[at].state == "up" else { continue }
                (lines[at].state, lines[at].reason) = (state, why)
            }
        }
    }

    var reasons: [String] {
        lines.filter { $0.state != "up" }.map { "\($0.name) is \($0.state): \($0.reason)" }
    }

    /// A line for each name that has several definitions.
    var conflicts: [String] {
        guard case .array(let conflicts) = known else { return [] }
        return conflicts.map { conflict in
            let (kind, name) = (conflict["kind"]?.text ?? "", conflict["name"]?.text ?? "")
            guard case .array(let definitions)? = conflict["definitions"] else { return "" }
            let listing = definitions.map { definition in
                let id = definition["id"]?.text ?? "?"
                guard case .int(let rows)? = definition["rows"] else { return id }
                return "\(id) with \(rows) \(rows == 1 ? "row" : "rows")"
            }
            let remedy = kind == "frame" ? "frame:drop:\(name):ID" : "define it anew, or job:drop:\(name)"
            return
                "conflict: there are \(definitions.count) \(kind)s \(name): \(listing.joined(separator: ", ")) (\(remedy))"
        }
    }

    // MARK: For people and for machines

    /// One figure for all scripts of a node: equal where each file is.
    private static func scriptsHash(_ own: Value?) -> String? {
        guard case .array(let scripts)? = own?["scripts"] else { return nil }
        let text = scripts.map { "\($0["file"]?.text ?? "")=\($0["version"]?.text ?? "")\n" }.joined()
        let hash = text.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        return scripts.isEmpty ? "none" : String(hash, radix: 16)
    }

    private static func lostRows(_ seen: Value) -> Int64 {
        guard case .map(let frames)? = seen["lostRows"] else { return 0 }
        return frames.reduce(0) { sum, frame in
            if case .int(let rows) = frame.value { sum &+ rows } else { sum }
        }
    }

    var table: Value {
        .array(
            lines.map { line in
                .object([
                    "node": .string(line.name), "address": .string(line.address.description),
                    "state": .string(line.state), "version": line.own?["version"] ?? .null,
                    "epoch": line.own?["epoch"] ?? .null,
                    "scripts": Self.scriptsHash(line.own).map { .string($0) } ?? .null,
                    "lost rows": .int(Self.lostRows(line.seen)), "silent ms": line.seen["silentMs"] ?? .null,
                ])
            })
    }

    var value: Value {
        .object([
            "nodes": .array(
                lines.map { line in
                    .object([
                        "name": .string(line.name), "address": .string(line.address.description),
                        "state": .string(line.state), "reason": .string(line.reason),
                        "version": line.own?["version"] ?? .null, "epoch": line.own?["epoch"] ?? .null,
                        "incarnation": line.own?["incarnation"] ?? .null, "shards": line.own?["shards"] ?? .null,
                        "scripts": line.own?["scripts"] ?? .null, "lostRows": line.seen["lostRows"] ?? .null,
                        "silentMs": line.seen["silentMs"] ?? .null,
                    ])
                }),
            "conflicts": known,
        ])
    }
}
