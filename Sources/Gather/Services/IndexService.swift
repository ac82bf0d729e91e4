// `index:…` virtual keys: objects in the order of a number that a method of their type answers, over all shards and nodes.

import Coordination
package import Engine

/// `index:top:TYPE.METHOD:10`, `index:above:TYPE.METHOD:0.9[:LIMIT]`, `index:count:TYPE.METHOD`, `index:list`. All nodes have
/// to answer, or there is an error. A last argument `here` asks for the part of the node that is asked.
package struct IndexService: VirtualService {
    package let type = "index"

    package enum Method: String, ServiceMethod {
        case top, above, count, list

        package var signature: MethodSignature {
            switch self {
            case .top: MethodSignature(parameters: ["index", "limit", "here"], least: 1)
            case .above: MethodSignature(parameters: ["index", "number", "limit", "here"], least: 2)
            case .count: MethodSignature(parameters: ["index", "here"], least: 1)
            case .list: MethodSignature()
            }
        }

        package var action: ClientAction {
            switch self {
            case .top, .above, .count: .callReadonly
            case .list: .describe
            }
        }
    }

    private static let limitMax = 1_000
    private static let limitDefault = 100
    private static let timeoutMilliseconds = 2_000

    package init() {}

    package func perform(
        _ method: Method, _ call: ServiceCall, _ router: Router, completion: @escaping CallCompletion
    ) {
        let types = router.engine.objectTypes
        switch method {
        case .list: completion(.success(Self.list(types)))
        case .count: Self.ask(call, router, completion) { (key) throws(Failure) in try Asked(counting: key, types) }
        case .top: Self.ask(call, router, completion) { (key) throws(Failure) in try Asked(top: key, types) }
        case .above: Self.ask(call, router, completion) { (key) throws(Failure) in try Asked(above: key, types) }
        }
    }

    private static func ask(
        _ call: ServiceCall, _ router: Router, _ completion: @escaping CallCompletion,
        _ read: (VirtualKey) throws(Failure) -> Asked
    ) {
        do throws(Failure) {
            let asked = try read(call.key)
            let own = router.cluster.environment.deadline(afterMilliseconds: Self.timeoutMilliseconds)
            let deadline = min(call.deadline, own)
            Self.answer(asked, deadline, router) { answer in
                completion(answer.map { asked.isHere ? Self.part($0) : Self.value($0, asked.question) })
            }
        } catch {
            completion(.failure(error))
        }
    }

    // MARK: The question

    private struct Asked: Sendable {
        let name: String
        let question: IndexQuestion
        let isHere: Bool
        /// The same for another node.
        let keyForNode: [UInt8]

        init(counting key: VirtualKey, _ types: ObjectTypes) throws(Failure) {
            try self.init(key, types, most: 0) { (_) throws(Failure) in .count }
        }

        init(top key: VirtualKey, _ types: ObjectTypes) throws(Failure) {
            try self.init(key, types, most: 1) { (words) throws(Failure) in .top(try Self.limit(words, 0, 10, key)) }
        }

        init(above key: VirtualKey, _ types: ObjectTypes) throws(Failure) {
            try self.init(key, types, most: 2) { (words) throws(Failure) in
                guard let word = words.first, Self.isNumeral(word), let least = Double(word), least.isFinite else {
                    let name = String(decoding: key.object, as: UTF8.self)
                    throw Failure(.scriptError, "index:above:\(name):NUMBER: '\(words.first ?? "")' is no number")
                }
                return .above(least, limit: try Self.limit(words, 1, limitDefault, key))
            }
        }

        /// `most`: words beside `here`.
        private init(
            _ key: VirtualKey, _ types: ObjectTypes, most: Int, _ read: ([String]) throws(Failure) -> IndexQuestion
        ) throws(Failure) {
            name = String(decoding: key.object, as: UTF8.self)
            var words = key.arguments.map { String(decoding: $0, as: UTF8.self) }
            isHere = words.last == "here"
            if isHere { words.removeLast() }
            keyForNode = key.text + (isHere ? [] : Array(":here".utf8))
            let parts = name.split(separator: ".", maxSplits: 1).map(String.init)
            guard parts.count == 2, types.types[parts[0]]?.indexes.contains(parts[1]) == true else {
                let known = IndexService.names(types).joined(separator: ", ")
                throw Failure(.scriptError, "there is no index '\(name)'; there are \(known)")
            }
            question = try read(words)
            guard words.count <= most else {
                throw Failure(
                    .scriptError,
                    "index:\(key.method): '\(words[most])' is one argument too many; the last one may be here")
            }
        }

        private static func limit(
            _ words: [String], _ at: Int, _ usual: Int, _ key: VirtualKey
        ) throws(Failure) -> Int {
            guard words.count > at else { return usual }
            guard isNumeral(words[at]), let limit = Int(words[at]), (1...limitMax).contains(limit) else {
                throw Failure(.scriptError, "index:\(key.method): '\(words[at])' is no number from 1 to \(limitMax)")
            }
            return limit
        }

        /// Decimal, and nothing but that: no blanks, nothing hexadecimal.
        private static func isNumeral(_ word: String) -> Bool {
            word.first != "+" && word.utf8.allSatisfy { "0123456789.eE+-".utf8.contains($0) }
        }
    }

    // MARK: Answers

    /// Of this node's shards, and of the other nodes.
    private static func answer(
        _ asked: Asked, _ deadline: Deadline, _ router: Router,
        completion: @escaping @Sendable (Result<IndexAnswer, Failure>) -> Void
    ) {
        let (shards, others) = (router.engine.shards, asked.isHere ? [] : router.cluster.otherNodes)
        Gatherer<IndexAnswer>(targets: shards.count + others.count, deadline: deadline, in: router.cluster) {
            target, _, deliver in
            guard target < shards.count else {
                return ask(others[target - shards.count], asked, deadline, router, deliver)
            }
            shards[target].objects.ask(index: asked.name, asked.question, deadline: deadline, completion: deliver)
        }
        .begin { found in
            if let (_, failure) = found.failure { return completion(.failure(failure)) }
            var answer = IndexAnswer()
            for (_, part) in found.answers { answer.merge(part, for: asked.question) }
            completion(.success(answer))
        }
    }

    private static func ask(
        _ node: Int, _ asked: Asked, _ deadline: Deadline, _ router: Router,
        _ deliver: @escaping Gatherer<IndexAnswer>.Deliver
    ) {
        let request = PeerRequest.fetch(
            key: asked.keyForNode,
            deadlineMilliseconds: UInt32(router.cluster.environment.remainingMilliseconds(until: deadline)),
            byJob: false)
        let name = router.cluster.topology.nodes[node].name
        router.cluster.send(request, to: node, deadline: deadline) { reply in
            let result = Router.value(of: reply).flatMap { value in
                part(value).map { .success($0) } ?? .failure(PeerReply.notUnderstood)
            }
            deliver(result.mapError { $0.naming(name) })
        }
    }

    private static func value(_ answer: IndexAnswer, _ question: IndexQuestion) -> Value {
        switch question {
        case .count: .int(Int64(answer.count))
        case .top: list(answer)
        case .above: .object(["count": .int(Int64(answer.count)), "objects": list(answer)])
        }
    }

    private static func list(_ answer: IndexAnswer) -> Value {
        .array(
            answer.entries.map { .object(["object": .bytes($0.object), "value": .double($0.value)]) })
    }

    /// What one node tells another.
    private static func part(_ answer: IndexAnswer) -> Value {
        .object(["count": .int(Int64(answer.count)), "objects": list(answer)])
    }

    private static func part(_ value: Value) -> IndexAnswer? {
        guard case .int(let count)? = value["count"], case .array(let list)? = value["objects"] else { return nil }
        var answer = IndexAnswer(count: max(0, Int(clamping: count)))
        for entry in list {
            guard case .bytes(let object)? = entry["object"] else { return nil }
            switch entry["value"] {
            case .double(let number): answer.entries.append(.init(object: object, value: number))
            case .int(let number): answer.entries.append(.init(object: object, value: Double(number)))
            default: return nil
            }
        }
        return answer
    }

    private static func list(_ types: ObjectTypes) -> Value { .array(names(types).map { .string($0) }) }

    private static func names(_ types: ObjectTypes) -> [String] {
        types.types.values.flatMap { type in type.indexes.map { "\(type.name).\($0)" } }.sorted()
    }
}
