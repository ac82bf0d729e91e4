// `frame:…` virtual keys, and frames as the cluster knows them: create, append, retain, info, list, drop.

import Coordination
package import Engine

package struct FrameService: VirtualService {
    package let type = "frame"

    package enum Method: String, ServiceMethod {
        case append, info, describe, list, drop, retain

        package var signature: MethodSignature {
            switch self {
            case .append: MethodSignature(parameters: ["name"], least: 1)
            case .info, .describe: MethodSignature(parameters: ["name"], least: 1)
            case .list: MethodSignature()
            case .drop: MethodSignature(parameters: ["name", "id"], least: 1)
            case .retain: MethodSignature(parameters: ["name", "age", "column"], least: 2)
            }
        }

        package var takesData: Bool { self == .append }
        package var isReadonly: Bool { self == .info || self == .describe || self == .list }

        package var action: ClientAction {
            switch self {
            case .append: .appendRows
            case .info, .describe, .list: .describe
            case .drop, .retain: .alterFrame
            }
        }
    }

    private static let gatherMilliseconds = 2_000
    private static let ownerMilliseconds = 2_000

    package init() {}

    package func perform(
        _ method: Method, _ call: ServiceCall, _ router: Router, completion: @escaping CallCompletion
    ) {
        let (cluster, key) = (router.cluster, call.key)
        switch method {
        case .list:
            let names = cluster.readRegistry { $0.frames.names }
            completion(.success(.array(names.map { .string($0) })))
        case .append:
            cluster.environment.task {
                completion(
                    await Self.answer { () async throws(Failure) in try await Self.append(key, call.data, cluster) })
            }
        case .retain:
            cluster.environment.task {
                completion(await Self.answer { () async throws(Failure) in try await Self.retain(key, cluster) })
            }
        case .info:
            cluster.environment.task {
                completion(await Self.answer { () async throws(Failure) in try await Self.info(key, cluster) })
            }
        case .describe:
            Task(executorPreference: cluster.engine.compute) {
                completion(
                    await Self.answer { () async throws(Failure) in
                        try await Self.describe(key, call.deadline, router)
                    })
            }
        case .drop:
            cluster.environment.task {
                completion(
                    await Self.answer { () async throws(Failure) in
                        let id = key.arguments.first.map { Value.bytes($0) } ?? .null
                        return try await Self.drop(.object(["name": .string(try Self.name(key)), "id": id]), cluster)
                    })
            }
        }
    }

    private static func answer(_ work: () async throws(Failure) -> Value) async -> Result<Value, Failure> {
        do throws(Failure) { return .success(try await work()) } catch { return .failure(error) }
    }

    static func name(_ key: VirtualKey) throws(Failure) -> String {
        guard !key.object.isEmpty else { throw Failure(.scriptError, "frame:\(key.method):NAME: the name is missing") }
        return String(decoding: key.object, as: UTF8.self)
    }

    static func unknown(_ name: String, _ cluster: Cluster) -> Failure {
        let known = cluster.readRegistry { $0.frames.names }
        let hint = known.isEmpty ? "there are none" : "there are \(known.joined(separator: ", "))"
        return Failure(.miss, "frame '\(name)' does not exist (\(hint)); load it with: cacheismo load \(name) FILE")
    }

    /// Nil where there is none; throws where there are several, and where this node can't say yet whether there is one.
    static func find(_ name: String, _ registry: Registry, _ cluster: Cluster) throws(Failure) -> Registry.FrameEntry? {
        switch registry.frame(named: name) {
        case .one(let entry): return entry
        case .conflict: throw RegistryReplica.conflict(ofFrame: name, registry)
        case .none:
            try cluster.requireSettled(toFind: "a frame '\(name)'")
            return nil
        }
    }

    /// The columns of a frame. Throws `miss` where there is none.
    package static func schema(of name: String, _ cluster: Cluster) throws(Failure) -> FrameSchema {
        try FrameSchema(encoded: require(name, cluster).schema)
    }

    /// For a job that has looked at it: what is known of its rows went with it.
    static func dropped(_ name: String) -> Failure {
        Failure(.incompleteData, "frame \(name) was dropped while the job looked at it; ask again")
    }

    static func require(_ name: String, _ cluster: Cluster) throws(Failure) -> Registry.FrameEntry {
        guard let entry = try find(name, cluster.currentRegistry(), cluster) else { throw unknown(name, cluster) }
        return entry
    }

    // MARK: Create and drop

    /// `{name, schema, inferred}`: registers the frame on every node that can be reached. The same frame again is fine;
    /// another schema is refused, unless it was only inferred from rows that have the frame's columns. Answers
    /// `{rows, made}`: how many rows the frame holds already, and its id if it was not there before.
    package static func create(_ argument: Value, _ cluster: Cluster) async throws(Failure) -> Value {
        guard let name = argument["name"]?.text, let described = argument["schema"] else {
            throw ClusterNode.malformed
        }
        let schema = try FrameSchema(value: described)
        await cluster.settle()
        var made: DefinitionID?
        if argument["inferred"] != .bool(true) || !hasColumns(of: schema, name, cluster) {
            made = try await create(name, schema: schema, cluster)
        }
        let rows = try find(name, cluster.currentRegistry(), cluster)?.acknowledged.expectedRows ?? 0
        return .object(["rows": .int(Int64(rows)), "made": made?.value ?? .null])
    }

    private static func hasColumns(of schema: FrameSchema, _ name: String, _ cluster: Cluster) -> Bool {
        guard let frame = cluster.engine.frames.find(name) else { return false }
        return schema.columns.allSatisfy { frame.schema.index(of: $0.name) != nil }
    }

    /// The frame's id, if it was made just now.
    static func create(
        _ name: String, schema: FrameSchema, _ cluster: Cluster
    ) async throws(Failure) -> DefinitionID? {
        try FrameCatalog.checkName(name)
        var made: DefinitionID?
        if try find(name, cluster.readRegistry { $0 }, cluster) == nil {
            made = try await createOnOwner(name, schema, cluster)
        }
        made = try cluster.createFrame(name, schema) ?? made
        await cluster.publish()
        return made
    }

    /// The node that owns the name decides: of two clients that make the frame at once on two nodes, with two schemas, one
    /// is refused. When the owner can't be asked the frame is made all the same, and is in conflict with one that is made there.
    /// The frame's id, if the owner made it.
    private static func createOnOwner(
        _ name: String, _ schema: FrameSchema, _ cluster: Cluster
    ) async throws(Failure) -> DefinitionID? {
        guard case .another(let place) = Array(name.utf8).withUnsafeBytes({ cluster.view.owner(of: $0) }) else {
            return nil
        }
        let request = PeerRequest.control(
            verb: .createFrame, argument: .object(["name": .string(name), "schema": schema.value]))
        let reply = await cluster.send(
            request, to: place.node, deadline: cluster.environment.deadline(afterMilliseconds: ownerMilliseconds))
        await cluster.publish()  // and so learns of it, by its id
        switch Router.value(of: reply) {
        case .success(let answer):
            guard try find(name, cluster.readRegistry { $0 }, cluster) != nil else {
                let owner = cluster.topology.nodes[place.node].name
                throw Failure(
                    .unreachable, "\(owner) has made frame '\(name)', and went away before it said so; ask again",
                    about: .named(owner))
            }
            return DefinitionID(value: answer["made"])
        case .failure(let failure):
            switch failure.reason {
            case .unreachable, .timeout, .overloaded, .cancelled: return nil
            default: throw failure
            }
        }
    }

    /// `{name, id}` → `{dropped, rows}`: the rows that are gone, on all nodes. A node that can't be reached drops it when it comes
    /// back. Of several frames of the name the one with the id.
    package static func drop(_ argument: Value, _ cluster: Cluster) async throws(Failure) -> Value {
        guard let name = argument["name"]?.text else { throw ClusterNode.malformed }
        let entry: Registry.FrameEntry
        if let text = argument["id"]?.text {
            guard let named = DefinitionID(text).flatMap({ cluster.currentRegistry().frame($0) }), named.name == name
            else {
                try cluster.requireSettled(toFind: "that frame")
                throw Failure(.miss, "there is no frame '\(name)' with the id '\(text.prefix(80))'")
            }
            entry = named
        } else {
            entry = try require(name, cluster)
        }
        cluster.changeRegistry { _ = $0.dropFrame(entry.id) }
        await cluster.publish()
        return .object(["dropped": .string(name), "rows": .int(Int64(entry.acknowledged.expectedRows))])
    }

    // MARK: Append

    /// `set frame:append:NAME` with NDJSON rows.
    private static func append(_ key: VirtualKey, _ data: [UInt8]?, _ cluster: Cluster) async throws(Failure) -> Value {
        let name = try name(key)
        guard let rows = data else {
            throw Failure(
                .scriptError, "frame:append:\(name) needs rows, one JSON object a line, as the data block of a set")
        }
        return try await append(rows, .ndjson, to: name, cluster)
    }

    // MARK: Info

    /// This node's part of a frame: `{name, id}` → `{rows, chunks, rawBytes, storedBytes}`.
    package static func statistics(_ argument: Value, _ cluster: Cluster) throws(Failure) -> Value {
        guard let name = argument["name"]?.text else { throw ClusterNode.malformed }
        let id: DefinitionID
        if let given = DefinitionID(value: argument["id"]) { id = given } else { id = try require(name, cluster).id }
        guard let frame = cluster.frame(id) else {
            try cluster.requireSettled(toFind: "a frame '\(name)'")
            throw unknown(name, cluster)
        }
        let statistics = frame.statistics
        return .object([
            "rows": .int(Int64(statistics.rows)), "chunks": .int(Int64(statistics.chunks)),
            "rawBytes": .int(Int64(statistics.rawBytes)), "storedBytes": .int(Int64(statistics.storedBytes)),
        ])
    }

    /// `get frame:info:NAME`: the frame over all nodes, and a line a node. Fails when a node can't say.
    private static func info(_ key: VirtualKey, _ cluster: Cluster) async throws(Failure) -> Value {
        let name = try name(key)
        let entry = try require(name, cluster)
        let schema = try FrameSchema(encoded: entry.schema)
        let argument = Value.object(["name": .string(name), "id": entry.id.value])
        let deadline = cluster.environment.deadline(afterMilliseconds: gatherMilliseconds)
        let outcome = await Gatherer<Value>(
            targets: cluster.topology.nodes.count, require: .all, deadline: deadline, in: cluster
        ) { node, _, deliver in
            guard node != cluster.topology.selfIndex, let links = cluster.anyLinks else {
                return deliver(Result { () throws(Failure) in try statistics(argument, cluster) })
            }
            links.send(.control(verb: .frameStatistics, argument: argument), to: node, deadline: deadline) {
                deliver(Router.value(of: $0))
            }
        }
        .outcome()
        if let (node, failure) = outcome.failure {
            let name = cluster.topology.nodes[node].name
            throw failure.saying("\(name): \(failure.message)", about: .named(name))
        }
        return describe(name, schema, outcome.answers, cluster)
    }

    private static func describe(
        _ name: String, _ schema: FrameSchema, _ answers: [(node: Int, answer: Value)], _ cluster: Cluster
    ) -> Value {
        func total(_ field: String) -> Value {
            .int(
                answers.reduce(0) { sum, answer in
                    guard case .int(let count)? = answer.answer[field] else { return sum }
                    return sum.clampedAdding(count)
                })
        }
        return .object([
            "name": .string(name), "rows": total("rows"), "chunks": total("chunks"), "rawBytes": total("rawBytes"),
            "storedBytes": total("storedBytes"), "columns": schema.value,
            "nodes": .map(answers.map { Value.Pair(.string(cluster.topology.nodes[$0.node].name), $0.answer) }),
        ])
    }
}
