// Where a key is answered: here, on another node, or by a method; and the way there.

package import Engine
import Synchronization

/// Answers arrive on any thread; whoever asked hops back to its own.
package typealias ItemCompletion = @Sendable (ItemOutcome) -> Void
package typealias CallCompletion = @Sendable (Result<Value, Failure>) -> Void
package typealias TextCompletion = @Sendable (Result<AnswerText, Failure>) -> Void

/// What a call is answered to a client, as text: a large result of a job is on an account until it was sent.
package enum AnswerText: Sendable {
    case bytes([UInt8])
    case leased(LeasedText)
}

package final class Router: Sendable {
    package enum Route: Sendable {
        /// An item of this node.
        case local
        /// An item of another node, by its index in the topology.
        case remote(node: Int)
        /// A method of an object, or a service.
        case virtual(VirtualKey)
    }

    package let engine: Engine
    package let cluster: Cluster
    private let services: [String: any VirtualService]
    /// `type:` of each service, so that plain keys are told apart without making strings of them.
    private let servicePrefixes: [[UInt8]]
    private let answersVirtualKeys: Bool
    let environment: any Environment
    /// There is no other node.
    private let isAlone: Bool
    /// `servicePrefixes`, in a form that one comparison each can tell apart from most keys.
    private let serviceWords: [(word: UInt64, mask: UInt64)]
    /// How long a method of an object may take, queueing included.
    private let callTimeoutMilliseconds: Int

    package init(
        cluster: Cluster, services: [any VirtualService], answersVirtualKeys: Bool = true,
        callTimeoutMilliseconds: Int = 1_000
    ) {
        engine = cluster.engine
        self.cluster = cluster
        environment = cluster.environment
        self.services = Dictionary(uniqueKeysWithValues: services.map { ($0.type, $0) })
        isAlone = cluster.topology.isAlone
        servicePrefixes = services.map { Array("\($0.type):".utf8) }
        serviceWords = servicePrefixes.map { prefix in
            let count = min(prefix.count, 8)
            let word = prefix[..<count].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return (word, count == 8 ? .max : 1 << (8 * UInt64(count)) - 1)
        }
        self.answersVirtualKeys = answersVirtualKeys
        self.callTimeoutMilliseconds = callTimeoutMilliseconds
    }

    /// Decides for one key. Cost: a scan for a colon; with one node nothing else, with several an MD5 and a binary search.
    /// `virtual`: false where no key names a method.
    package func route(_ key: UnsafeRawBufferPointer, virtual: Bool) -> Route {
        if virtual, answersVirtualKeys, let virtualKey = virtualKey(key) { return .virtual(virtualKey) }
        guard !isAlone else { return .local }
        let owner = cluster.topology.owner(ofKey: key)
        return owner == cluster.topology.selfIndex ? .local : .remote(node: owner)
    }

    /// What a key names, as far as that is known at once.
    package enum KeyKind: Sendable {
        /// An item of this node: `route` says `local`.
        case ownItem
        /// A method of an object of this node.
        case method(LocatedMethod)
        /// An item of another node, by its index in the topology.
        case remoteItem(node: Int)
        /// A method of an object of another node, whose key says the object's name as it is.
        case remoteMethod(node: Int)
        /// Anything else.
        case other
    }

    /// `colons`: how many the key has, or a few more: a service's key has one or more, a method's two or more. Cost: next to
    /// nothing for most keys of a node that is alone.
    /// `owner`: of the key as it is, where that is known.
    package func kind(
        ofKey key: UnsafeRawBufferPointer, colons: Int, virtual: Bool, owner: Int?
    ) -> KeyKind {
        if virtual, colons > 0, answersVirtualKeys {
            if mayBeService(key) { return .other }
            if colons > 1 {
                var owner: Int?
                let method = engine.locate(key) { routing in
                    guard !isAlone else { return true }
                    owner = cluster.topology.owner(ofKey: routing)
                    return owner == cluster.topology.selfIndex
                }
                if let method { return .method(method) }
                if let owner { return .remoteMethod(node: owner) }
                if engine.objectTypes.names(key) { return .other }
            }
        }
        if isAlone { return .ownItem }
        let owner = owner ?? cluster.topology.owner(ofKey: key)
        return owner == cluster.topology.selfIndex ? .ownItem : .remoteItem(node: owner)
    }

    /// Finds the owners of several keys, which is faster than one by one; returns which of them is this node. Nil, and nothing
    /// is found, where there is but one.
    @inline(__always)
    package func findOwners(
        of keys: UnsafeBufferPointer<UnsafeRawBufferPointer>, into owners: UnsafeMutableBufferPointer<Int>
    ) -> Int? {
        guard !isAlone, let own = cluster.topology.selfIndex else { return nil }
        cluster.topology.ring.findServers(of: keys, into: owners)
        return own
    }

    /// The other node that a method of an object is to be called on; nil where it is called here, or refused.
    package func node(of key: VirtualKey) -> Int? {
        guard !isAlone, services[key.type] == nil, engine.objectTypes.refusal(of: key) == nil else { return nil }
        let owner = key.routingKey.withUnsafeBytes { cluster.topology.owner(ofKey: $0) }
        return owner == cluster.topology.selfIndex ? nil : owner
    }

    /// False for nearly all keys that are no service's.
    @inline(__always)
    private func mayBeService(_ key: UnsafeRawBufferPointer) -> Bool {
        guard key.count >= 8 else { return true }
        let word = UInt64(littleEndian: key.loadUnaligned(as: UInt64.self))
        for service in serviceWords where word & service.mask == service.word { return true }
        return false
    }

    private func virtualKey(_ key: UnsafeRawBufferPointer) -> VirtualKey? {
        // What begins with a type and has no method of it is an error, and not an item that nobody meant.
        let isVirtual =
            engine.objectTypes.names(key)
            || mayBeService(key) && servicePrefixes.contains(where: { key.starts(with: $0) })
        return isVirtual ? VirtualKey(key) ?? VirtualKey(ofType: key) : nil
    }

    /// Whether a service answers this key, not an object.
    package func isService(_ key: VirtualKey) -> Bool { services[key.type] != nil }

    // MARK: Plain items

    /// Runs a command on a key of this node.
    package func executeLocally(_ command: ItemCommand, key: UnsafeRawBufferPointer, now: UInt32) -> ItemOutcome {
        let hash = keyHash(key)
        return engine.shard(forHash: hash).items.execute(command, key: key, hash: hash, now: now)
    }

    /// Sends a session's commands to the node that owns their keys. `links`: those of the session's loop.
    package func send(_ batch: ForwardBatch, links: PeerLinks?) {
        guard let links = links ?? cluster.anyLinks else {
            return batch.fail(Failure(.unreachable, "this node has no peers"))
        }
        links.send(batch, deadline: environment.deadline(afterMilliseconds: cluster.requestTimeoutMilliseconds))
    }

    /// Sends a command to the node that owns its key: by `deadline`, or sooner, as forwarded commands have little time.
    private func forward(
        _ command: ItemCommand, key: [UInt8], node: Int, deadline: Deadline, completion: @escaping ItemCompletion
    ) {
        guard let links = cluster.anyLinks else {
            return completion(.failed(Failure(.unreachable, "this node has no peers")))
        }
        let deadline = min(deadline, environment.deadline(afterMilliseconds: cluster.requestTimeoutMilliseconds))
        links.send(.item(command, key: key), to: node, deadline: deadline) { result in
            switch result {
            case .success(.item(let outcome)): completion(outcome)
            case .success: completion(.failed(PeerReply.notUnderstood))
            case .failure(let failure): completion(.failed(failure))
            }
        }
    }

    /// The answer to a forwarded command: only for keys of this node, so that no request is ever passed on twice.
    package func executeForPeer(_ command: ItemCommand, key: [UInt8]) -> ItemOutcome {
        key.withUnsafeBytes { bytes in
            guard cluster.topology.owner(ofKey: bytes) == cluster.topology.selfIndex else {
                return .failed(notTheOwner)
            }
            return executeLocally(command, key: bytes, now: environment.unixSeconds)
        }
    }

    // MARK: Flush

    /// Everything stored up to `delaySeconds` from now is gone, on all nodes; objects too. Completes when every node has
    /// carried it out, or noted it for later, with the failure of one that did not. `links`: those that the requests before it
    /// and behind it take, so that nodes get them in that order.
    package func flushAll(
        delaySeconds: UInt32, now: UInt32, links: PeerLinks?, completion: @escaping CallCompletion
    ) {
        let links = links ?? cluster.anyLinks
        let nodes = links == nil ? [] : cluster.otherNodes
        let waiting = FlushAnswers(count: nodes.count + 1, completion)
        let request = PeerRequest.control(verb: .flush, argument: .object(["delay": .int(Int64(delaySeconds))]))
        // A node waits for a method that is at work, and for those that wait for it already.
        let deadline = environment.deadline(
            afterMilliseconds: cluster.requestTimeoutMilliseconds + 2 * callTimeoutMilliseconds)
        for node in nodes { links?.send(request, to: node, deadline: deadline) { waiting.take($0) } }
        flushLocally(delaySeconds: delaySeconds, now: now) { waiting.take(.success(.value(.null))) }
    }

    package func flushLocally(delaySeconds: UInt32, now: UInt32, completion: @escaping @Sendable () -> Void) {
        let (second, isLate) = now.addingReportingOverflow(delaySeconds)
        engine.flush.flush(at: isLate ? .max : second, now: now, completion: completion)
    }

    // MARK: Methods and services

    /// Calls a method or a service, wherever it lives; `data` is the last argument when it came as a data block.
    /// May complete before it returns. `deadline` nil: the default for methods, none for services, which have their own.
    package func call(
        _ key: VirtualKey, data: [UInt8]?, links: PeerLinks?, deadline: Deadline?,
        completion: @escaping CallCompletion
    ) {
        if let service = services[key.type] {
            let call = ServiceCall(key: key, data: data, deadline: deadline ?? .never)
            return service.call(call, self, completion: completion)
        }
        if let refusal = engine.objectTypes.refusal(of: key) { return completion(.failure(refusal)) }
        let deadline = deadline ?? environment.deadline(afterMilliseconds: callTimeoutMilliseconds)
        let owner = key.routingKey.withUnsafeBytes { cluster.topology.owner(ofKey: $0) }
        guard owner != cluster.topology.selfIndex else {
            return callLocally(key, data: data, deadline: deadline, completion: completion)
        }
        guard let links = links ?? cluster.anyLinks else {
            return completion(.failure(Failure(.unreachable, "this node has no peers")))
        }
        let request = PeerRequest.call(
            key, data: data, deadlineMilliseconds: UInt32(environment.remainingMilliseconds(until: deadline)))
        links.send(request, to: owner, deadline: deadline) { completion(Self.value(of: $0)) }
    }

    /// As `call`, for a client; answers as text.
    package func callForText(
        _ key: VirtualKey, data: [UInt8]?, links: PeerLinks?, completion: @escaping TextCompletion
    ) {
        guard let service = services[key.type] else {
            return call(key, data: data, links: links, deadline: nil) { completion($0.map { .bytes($0.answer) }) }
        }
        service.callForText(ServiceCall(key: key, data: data, deadline: .never), self, completion: completion)
    }

    /// The method of an object of this node that a key names, if it may be called by `Engine.objects`.
    package func locate(_ key: UnsafeRawBufferPointer) -> LocatedMethod? {
        guard answersVirtualKeys, !mayBeService(key) else { return nil }
        return engine.locate(key) { routing in
            isAlone || cluster.topology.owner(ofKey: routing) == cluster.topology.selfIndex
        }
    }

    /// The answer to a forwarded method: only for objects of this node.
    package func callForPeer(
        _ key: VirtualKey, data: [UInt8]?, deadline: Deadline, completion: @escaping CallCompletion
    ) {
        let isOwner = key.routingKey.withUnsafeBytes { cluster.topology.owner(ofKey: $0) } == cluster.topology.selfIndex
        guard isOwner else { return completion(.failure(notTheOwner)) }
        callLocally(key, data: data, deadline: deadline, completion: completion)
    }

    private func callLocally(
        _ key: VirtualKey, data: [UInt8]?, deadline: Deadline, completion: @escaping CallCompletion
    ) {
        if engine.objectTypes.isLowLevel(type: key.type) {
            return engine.lowLevel.call(
                key, data: data, deadline: deadline,
                ask: { questions, deadline, answer in self.ask(questions, deadline: deadline, completion: answer) },
                completion: completion)
        }
        let hash = key.routingKey.withUnsafeBytes { keyHash($0) }
        engine.shard(forHash: hash).objects.call(key, data: data, deadline: deadline, completion: completion)
    }

    var notTheOwner: Failure {
        Failure(.wrongEpoch, "\(cluster.selfName) does not own this key: the nodes disagree about the peer list")
    }

    // MARK: Either, as a script asks for it

    /// What `get key` would answer here: a plain key's value, a method's or a service's answer; `miss` when there is none.
    /// `byJob`: a job asks. It may not start another one, which could start the next: on all nodes, without end.
    package func fetch(_ key: [UInt8], deadline: Deadline, byJob: Bool = false, completion: @escaping CallCompletion) {
        guard (1...Self.keyBytesMax).contains(key.count) else {
            return completion(
                .failure(Failure(.scriptError, "a key has 1 to \(Self.keyBytesMax) bytes, this one has \(key.count)")))
        }
        switch key.withUnsafeBytes({ route($0, virtual: true) }) {
        case .local:
            let outcome = key.withUnsafeBytes { executeLocally(.get, key: $0, now: environment.unixSeconds) }
            completion(Self.value(of: outcome))
        case .remote(let node):
            guard let links = cluster.anyLinks else {
                return completion(.failure(Failure(.unreachable, "this node has no peers")))
            }
            links.send(.item(.get, key: key), to: node, deadline: deadline) { completion(Self.value(of: $0)) }
        case .virtual(let virtualKey):
            if byJob, virtualKey.type == "job", virtualKey.method == "run" {
                return completion(.failure(Failure(.scriptError, "a job can't run another job: put both into one")))
            }
            call(virtualKey, data: nil, links: nil, deadline: deadline, completion: completion)
        }
    }

    private static let keyBytesMax = 250

    /// What `set key` would do here: store a plain key, or call a method with the value as its last argument.
    package func store(
        _ key: [UInt8], value: [UInt8], deadline: Deadline = .never, completion: @escaping CallCompletion
    ) {
        guard (1...Self.keyBytesMax).contains(key.count), key.allSatisfy({ $0 > 32 && $0 != 127 }) else {
            return completion(
                .failure(
                    Failure(
                        .scriptError,
                        "a key has 1 to \(Self.keyBytesMax) bytes, and no spaces or control characters")))
        }
        let command = ItemCommand.store(.set, flags: 0, expiry: 0, cas: 0, value: value)
        @Sendable func finish(_ outcome: ItemOutcome) {
            switch outcome {
            case .stored: completion(.success(.string("STORED")))
            case .failed(let failure): completion(.failure(failure))
            case .tooLarge: completion(.failure(Failure(.budgetExceeded, "the item is larger than an item may be")))
            default: completion(.failure(Failure(.budgetExceeded, "no memory is left to store it", fault: .server)))
            }
        }
        switch key.withUnsafeBytes({ route($0, virtual: true) }) {
        case .local: finish(key.withUnsafeBytes { executeLocally(command, key: $0, now: environment.unixSeconds) })
        case .remote(let node):
            forward(command, key: key, node: node, deadline: deadline, completion: finish)
        case .virtual(let virtualKey):
            let limit =
                isService(virtualKey)
                ? deadline : min(deadline, environment.deadline(afterMilliseconds: callTimeoutMilliseconds))
            call(virtualKey, data: value, links: nil, deadline: limit, completion: completion)
        }
    }

    private static func value(of outcome: ItemOutcome) -> Result<Value, Failure> {
        switch outcome {
        case .value(_, _, let bytes): .success(.bytes(bytes))
        case .failed(let failure): .failure(failure)
        default: .failure(.noSuchKey)
        }
    }

    /// A peer's reply as the value that was asked for.
    package static func value(of reply: Result<PeerReply, Failure>) -> Result<Value, Failure> {
        switch reply {
        case .success(.value(let value)): .success(value)
        case .success(.item(let outcome)): value(of: outcome)
        case .success: .failure(PeerReply.notUnderstood)
        case .failure(let failure): .failure(failure)
        }
    }
}

/// Counts the nodes' answers to a flush; the last one decides.
private final class FlushAnswers: Sendable {
    private let state: Mutex<(count: Int, failure: Failure?)>
    private let completion: CallCompletion

    init(count: Int, _ completion: @escaping CallCompletion) {
        state = Mutex((count, nil))
        self.completion = completion
    }

    func take(_ reply: Result<PeerReply, Failure>) {
        let (isLast, failure) = state.withLock { state in
            state.count -= 1
            switch reply {
            case .success(.failure(let failure)), .failure(let failure): state.failure = failure
            case .success: break
            }
            return (state.count == 0, state.failure)
        }
        if isLast { completion(failure.map { .failure($0) } ?? .success(.null)) }
    }
}
