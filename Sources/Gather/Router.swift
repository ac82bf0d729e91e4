// Where a key is answered: here, on another node, or by a method; and the way there.

import Coordination
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
        /// An item of this node, by the hash that finds it.
        case local(hash: UInt64)
        /// An item of another node.
        case remote(Place)
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
    /// Where keys live.
    let view: TopologyView
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
        view = cluster.view
        servicePrefixes = services.map { Array("\($0.type):".utf8) }
        serviceWords = servicePrefixes.map { prefix in
            let count = min(prefix.count, 8)
            let word = prefix[..<count].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            return (word, count == 8 ? .max : 1 << (8 * UInt64(count)) - 1)
        }
        self.answersVirtualKeys = answersVirtualKeys
        self.callTimeoutMilliseconds = callTimeoutMilliseconds
    }

    /// Decides for one key. Cost: a scan for a colon, and a hash; with several nodes an MD5.
    /// `virtual`: false where no key names a method.
    package func route(_ key: UnsafeRawBufferPointer, virtual: Bool) -> Route {
        if virtual, answersVirtualKeys, let virtualKey = virtualKey(key) { return .virtual(virtualKey) }
        switch view.owner(of: key) {
        case .thisNode(let hash): return .local(hash: hash)
        case .another(let place): return .remote(place)
        }
    }

    /// What a key names, as far as that is known at once.
    package enum KeyKind: Sendable {
        /// An item of this node, by the hash that finds it.
        case ownItem(hash: UInt64)
        /// A method of an object of this node.
        case method(LocatedMethod)
        /// An item of another node.
        case remoteItem(Place)
        /// A method of an object of another node, whose key says the object's name as it is.
        case remoteMethod(Place)
        /// Anything else.
        case other
    }

    /// `colons`: how many the key has, or a few more: a service's key has one or more, a method's two or more. Cost: next to
    /// nothing for most keys of a node that is alone.
    /// `place`: of the key as it is, where that is known.
    package func kind(
        ofKey key: UnsafeRawBufferPointer, colons: Int, virtual: Bool, place: Place?
    ) -> KeyKind {
        if virtual, colons > 0, answersVirtualKeys {
            if mayBeService(key) { return .other }
            if colons > 1 {
                var objectPlace: Place?
                let method = engine.locate(key) { routing, hash in
                    switch view.owner(of: routing, hash: hash) {
                    case .thisNode(let hash): return hash
                    case .another(let place):
                        objectPlace = place
                        return nil
                    }
                }
                if let method { return .method(method) }
                if let objectPlace { return .remoteMethod(objectPlace) }
                if engine.objectTypes.names(key) { return .other }
            }
        }
        if view.isAlone { return .ownItem(hash: keyHash(key)) }
        let place = place ?? view.place(of: key)
        return view.isLocal(place) ? .ownItem(hash: place.hash(of: key)) : .remoteItem(place)
    }

    /// Finds where several keys live, which is faster than one by one. False, and nothing is found, where there is but one node.
    @inline(__always)
    package func findPlaces(
        of keys: UnsafeBufferPointer<UnsafeRawBufferPointer>, into places: UnsafeMutableBufferPointer<Place>
    ) -> Bool {
        guard !view.isAlone else { return false }
        view.findPlaces(of: keys, into: places)
        return true
    }

    /// The hash that finds an item of this node, whose place was found before; nil for another node's.
    @inline(__always)
    package func hash(of key: UnsafeRawBufferPointer, at place: Place) -> UInt64? {
        view.isLocal(place) ? place.hash(of: key) : nil
    }

    /// The hash that finds an item of this node, where its key alone says it: in a cluster it costs more than it brings.
    @inline(__always)
    package func hashToPrefetch(of key: UnsafeRawBufferPointer) -> UInt64? { view.isAlone ? keyHash(key) : nil }

    /// Where on another node a method of an object is to be called; nil where it is called here, or refused.
    package func place(of key: VirtualKey) -> Place? {
        guard !view.isAlone, services[key.type] == nil, engine.objectTypes.refusal(of: key) == nil,
            case .another(let place) = owner(of: key)
        else { return nil }
        return place
    }

    private func owner(of key: VirtualKey) -> Owner { key.routingKey.withUnsafeBytes { view.owner(of: $0) } }

    /// False for nearly all keys that are no service's.
    @inline(__always)
    func mayBeService(_ key: UnsafeRawBufferPointer) -> Bool {
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

    /// What decides where a key lives, and what it names: `item` or `object`; nil for a service, which each node answers itself.
    func placing(of key: [UInt8]) -> (kind: String, routingKey: [UInt8])? {
        guard answersVirtualKeys, let named = key.withUnsafeBytes({ virtualKey($0) }) else { return ("item", key) }
        return isService(named) ? nil : ("object", named.routingKey)
    }

    /// Whether a service answers this key, not an object.
    package func isService(_ key: VirtualKey) -> Bool { service(of: key) != nil }

    func service(of key: VirtualKey) -> (any VirtualService)? { services[key.type] }

    // MARK: Plain items

    /// Runs a command on a key of this node.
    private func executeLocally(_ command: ItemCommand, key: UnsafeRawBufferPointer, hash: UInt64) -> ItemOutcome {
        engine.stores[hash].execute(command, key: key, hash: hash, now: environment.unixSeconds)
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

    /// A command on a plain key, wherever it lives. May complete before it returns.
    package func execute(
        _ command: ItemCommand, key: [UInt8], deadline: Deadline, completion: @escaping ItemCompletion
    ) {
        if let refusal = Key.refusal(ofBytes: key) { return completion(.failed(refusal)) }
        switch key.withUnsafeBytes({ route($0, virtual: false) }) {
        case .local(let hash): completion(key.withUnsafeBytes { executeLocally(command, key: $0, hash: hash) })
        case .remote(let place):
            forward(command, key: key, node: place.node, deadline: deadline, completion: completion)
        case .virtual: preconditionFailure("it was asked for as a plain key")
        }
    }

    /// Whether a key is a plain one's.
    package func isItem(_ key: [UInt8]) -> Bool {
        !answersVirtualKeys || key.withUnsafeBytes { virtualKey($0) } == nil
    }

    /// Whether a key names a method that may be called again and again, as it changes nothing; nil for a plain key, and for a
    /// method that there isn't.
    package func isReadonly(_ key: [UInt8]) -> Bool? {
        guard case .virtual(let named) = key.withUnsafeBytes({ route($0, virtual: true) }) else { return nil }
        return isReadonly(named)
    }

    /// The same of a method by its name.
    package func isReadonly(_ key: VirtualKey) -> Bool? {
        if let service = services[key.type] { return service.isReadonly(key.method) }
        if engine.objectTypes.hasHandlers(type: key.type) { return false }
        guard let type = engine.objectTypes.types[key.type] else { return nil }
        if type.methods.contains(key.method) { return type.readonly.contains(key.method) }
        return CommonVerb(rawValue: key.method)?.isReadonly
    }

    /// Whether there is such a type, or service.
    package func isType(_ name: String) -> Bool {
        services[name] != nil || engine.objectTypes.types[name] != nil || engine.objectTypes.hasHandlers(type: name)
    }

    /// The answer to a forwarded command: only for keys of this node, so that no request is ever passed on twice.
    package func executeForPeer(_ command: ItemCommand, key: [UInt8]) -> ItemOutcome {
        key.withUnsafeBytes { bytes in
            guard case .thisNode(let hash) = view.owner(of: bytes) else { return .failed(notTheOwner) }
            return executeLocally(command, key: bytes, hash: hash)
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
        let request = PeerRequest.control(verb: .flush, argument: .object(["delay": .int(Int64(delaySeconds))]))
        // A node waits for a method that is at work, and for those that wait for it already.
        let deadline = environment.deadline(
            afterMilliseconds: cluster.requestTimeoutMilliseconds + 2 * callTimeoutMilliseconds)
        Gatherer<Value>(targets: nodes.count + 1, deadline: .never, in: cluster) { target, _, deliver in
            guard target < nodes.count else {
                return self.flushLocally(delaySeconds: delaySeconds, now: now) { deliver(.success(.null)) }
            }
            links?.send(request, to: nodes[target], deadline: deadline) { deliver(Self.value(of: $0)) }
        }
        .begin { found in completion(found.failure.map { .failure($0.failure) } ?? .success(.null)) }
    }

    package func flushLocally(delaySeconds: UInt32, now: UInt32, completion: @escaping @Sendable () -> Void) {
        let (second, isLate) = now.addingReportingOverflow(delaySeconds)
        engine.flush.flush(at: isLate ? .max : second, now: now, completion: completion)
    }

    // MARK: Methods and services

    /// Calls a method or a service, wherever it lives; `data` is the last argument when it came as a data block.
    /// May complete before it returns. `deadline` nil: the default for methods, none for services, which have their own.
    /// `roles`: of a client, whom `refusal(of:_:)` has let pass.
    package func call(
        _ key: VirtualKey, data: [UInt8]?, links: PeerLinks?, deadline: Deadline?, roles: Roles = .all,
        completion: @escaping CallCompletion
    ) {
        if let service = services[key.type] {
            let call = ServiceCall(key: key, data: data, deadline: deadline ?? .never, roles: roles)
            return service.call(call, self, completion: completion)
        }
        if let refusal = engine.objectTypes.refusal(of: key) { return completion(.failure(refusal)) }
        let deadline = deadline ?? environment.deadline(afterMilliseconds: callTimeoutMilliseconds)
        switch owner(of: key) {
        case .thisNode(let hash):
            callLocally(key, hash: hash, data: data, deadline: deadline, completion: completion)
        case .another(let place):
            guard let links = links ?? cluster.anyLinks else {
                return completion(.failure(Failure(.unreachable, "this node has no peers")))
            }
            let request = PeerRequest.call(
                key, data: data, deadlineMilliseconds: UInt32(environment.remainingMilliseconds(until: deadline)))
            links.send(request, to: place.node, deadline: deadline) { completion(Self.value(of: $0)) }
        }
    }

    /// As `call`, for a client; answers as text.
    package func callForText(
        _ key: VirtualKey, data: [UInt8]?, links: PeerLinks?, roles: Roles, completion: @escaping TextCompletion
    ) {
        guard let service = services[key.type] else {
            return call(key, data: data, links: links, deadline: nil) { completion($0.map { .bytes($0.answer) }) }
        }
        let call = ServiceCall(key: key, data: data, deadline: .never, roles: roles)
        service.callForText(call, self, completion: completion)
    }

    /// The method of an object of this node that a key names, if it may be called by `Engine.objects`.
    package func locate(_ key: UnsafeRawBufferPointer) -> LocatedMethod? {
        guard answersVirtualKeys, !mayBeService(key) else { return nil }
        return engine.locate(key) { routing, hash in
            guard case .thisNode(let hash) = view.owner(of: routing, hash: hash) else { return nil }
            return hash
        }
    }

    /// The same for a key that is in a partition of this node.
    func locate(_ key: UnsafeRawBufferPointer, inPartition partition: Int) -> LocatedMethod? {
        guard answersVirtualKeys, !mayBeService(key) else { return nil }
        return engine.locate(key) { _, hash in Partition.hash(hash, in: partition) }
    }

    /// Calls a method of an object that is in a partition of this node.
    func call(
        _ key: VirtualKey, inPartition partition: Int, data: [UInt8]?, deadline: Deadline,
        completion: @escaping CallCompletion
    ) {
        let hash = key.routingKey.withUnsafeBytes { Partition.hash(of: $0, in: partition) }
        callLocally(key, hash: hash, data: data, deadline: deadline, completion: completion)
    }

    /// The answer to a forwarded method: only for objects of this node.
    package func callForPeer(
        _ key: VirtualKey, data: [UInt8]?, deadline: Deadline, completion: @escaping CallCompletion
    ) {
        guard case .thisNode(let hash) = owner(of: key) else { return completion(.failure(notTheOwner)) }
        callLocally(key, hash: hash, data: data, deadline: deadline, completion: completion)
    }

    /// `hash`: what finds the object's shard.
    private func callLocally(
        _ key: VirtualKey, hash: UInt64, data: [UInt8]?, deadline: Deadline, completion: @escaping CallCompletion
    ) {
        if engine.objectTypes.hasHandlers(type: key.type) {
            return engine.lowLevel.call(
                key, data: data, deadline: deadline,
                ask: { questions, deadline, answer in self.ask(questions, deadline: deadline, completion: answer) },
                completion: completion)
        }
        engine.shard(forHash: hash).objects.call(key, data: data, deadline: deadline, completion: completion)
    }

    var notTheOwner: Failure {
        Failure(
            .wrongEpoch, "\(cluster.selfName) does not own this key: the nodes disagree about the peer list",
            about: .named(cluster.selfName))
    }

    // MARK: Either, as a script asks for it

    /// What `get key` would answer here: a plain key's value, a method's or a service's answer; `miss` when there is none.
    /// `byJob`: a job asks. It may not start another one, which could start the next: on all nodes, without end.
    package func fetch(
        _ key: [UInt8], deadline: Deadline, byJob: Bool = false, roles: Roles = .all,
        completion: @escaping CallCompletion
    ) {
        if let refusal = Key.refusal(ofBytes: key) { return completion(.failure(refusal)) }
        switch key.withUnsafeBytes({ route($0, virtual: true) }) {
        case .local(let hash):
            completion(Self.value(of: key.withUnsafeBytes { executeLocally(.get, key: $0, hash: hash) }))
        case .remote(let place):
            guard let links = cluster.anyLinks else {
                return completion(.failure(Failure(.unreachable, "this node has no peers")))
            }
            links.send(.item(.get, key: key), to: place.node, deadline: deadline) { completion(Self.value(of: $0)) }
        case .virtual(let virtualKey):
            if byJob, virtualKey.type == "job", virtualKey.method == "run" {
                return completion(.failure(Failure(.scriptError, "a job can't run another job: put both into one")))
            }
            call(virtualKey, data: nil, links: nil, deadline: deadline, roles: roles, completion: completion)
        }
    }

    /// What `set key` would do here: store a plain key, or call a method with the value as its last argument.
    package func store(
        _ key: [UInt8], value: [UInt8], deadline: Deadline = .never, roles: Roles = .all,
        completion: @escaping CallCompletion
    ) {
        if let refusal = Key.refusal(ofText: key) { return completion(.failure(refusal)) }
        let command = ItemCommand.store(.set, flags: 0, expiry: .never, cas: 0, value: value)
        @Sendable func finish(_ outcome: ItemOutcome) {
            switch outcome {
            case .stored: completion(.success(.string("STORED")))
            case .failed(let failure): completion(.failure(failure))
            case .tooLarge: completion(.failure(Failure(.budgetExceeded, "the item is larger than an item may be")))
            default: completion(.failure(Failure(.budgetExceeded, "no memory is left to store it", fault: .server)))
            }
        }
        switch key.withUnsafeBytes({ route($0, virtual: true) }) {
        case .local(let hash): finish(key.withUnsafeBytes { executeLocally(command, key: $0, hash: hash) })
        case .remote(let place):
            forward(command, key: key, node: place.node, deadline: deadline, completion: finish)
        case .virtual(let virtualKey):
            let limit =
                isService(virtualKey)
                ? deadline : min(deadline, environment.deadline(afterMilliseconds: callTimeoutMilliseconds))
            call(virtualKey, data: value, links: nil, deadline: limit, roles: roles, completion: completion)
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
