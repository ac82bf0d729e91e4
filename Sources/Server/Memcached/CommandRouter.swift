// What a session needs of whoever knows where keys live: the production router, or a test's.

package import Engine
package import Gather

package protocol CommandRouter: Sendable {
    func route(_ key: UnsafeRawBufferPointer, virtual: Bool) -> Router.Route
    /// What a key names. `colons`: how many there are in the key, or a few more.
    /// `place`: what `findPlaces` found.
    func kind(ofKey key: UnsafeRawBufferPointer, colons: Int, virtual: Bool, place: Place?) -> Router.KeyKind
    /// Finds where several keys live; false where that need not be known before `kind` is asked.
    func findPlaces(
        of keys: UnsafeBufferPointer<UnsafeRawBufferPointer>, into places: UnsafeMutableBufferPointer<Place>
    ) -> Bool
    /// What finds an item of this node in its stores; nil for one whose place is on another node.
    func hash(of key: UnsafeRawBufferPointer, at place: Place) -> UInt64?
    /// What finds an item of this node, if that is cheap to tell; nil too where it isn't.
    func hashToPrefetch(of key: UnsafeRawBufferPointer) -> UInt64?
    /// The method of an object of this node that a key names, if it may be answered at once.
    func locate(_ key: UnsafeRawBufferPointer) -> LocatedMethod?
    /// Where that is done; nil for a router that never says where a method is.
    var objects: ObjectHosts? { get }
    /// This node's items.
    var stores: ItemStores { get }
    /// Each command of the batch is answered once, on any thread, or before this returns.
    func send(_ batch: ForwardBatch, links: PeerLinks?)
    /// Where on another node a method is to be called with such a batch; nil where `call` takes it.
    func place(of key: VirtualKey) -> Place?
    /// The completion comes once, on any thread, or before the call returns.
    func call(_ key: VirtualKey, data: [UInt8]?, links: PeerLinks?, completion: @escaping CallCompletion)
    /// The same, answered as text. `roles`: of the client, whom `refusal` has let pass.
    func callForText(
        _ key: VirtualKey, data: [UInt8]?, links: PeerLinks?, roles: Roles, completion: @escaping TextCompletion)
    /// Why a client with these roles may not use a key so; nil where it may. `plain`: what `name` does to a plain one.
    func refusal(
        of key: UnsafeRawBufferPointer, virtual: Bool, plain: ClientAction, _ name: StaticString, _ roles: Roles
    ) -> Failure?
    /// Whether what comes after this key on a connection must wait for its answer: it may ask for what this one does.
    func holdsBack(_ key: VirtualKey) -> Bool
    /// All that was stored up to `delaySeconds` from `now` is gone, wherever it is; completes like `call`.
    func flushAll(delaySeconds: UInt32, now: UInt32, links: PeerLinks?, completion: @escaping CallCompletion)
    /// To be called before a batch of requests: carries out a flush whose second has come.
    func carryOutFlush(now: UInt32)
    /// What else there is to tell in `stats cacheismo`, by name.
    var ownStatistics: [(name: String, value: Int)] { get }
    /// What this node holds; nil for a router that knows nothing but its stores.
    var node: Engine? { get }
    /// The files that the object types came of, for `stats scripts`.
    var scripts: [ScriptStatus] { get }
}

extension CommandRouter {
    package func holdsBack(_ key: VirtualKey) -> Bool { false }

    /// For a router that knows nothing of methods: any may change something.
    package func refusal(
        of key: UnsafeRawBufferPointer, virtual: Bool, plain: ClientAction, _ name: StaticString, _ roles: Roles
    ) -> Failure? {
        guard case .virtual(let key) = route(key, virtual: virtual) else {
            return roles.refusal(of: plain, name.description)
        }
        return roles.refusal(of: .callMethod, "\(key.type):\(key.method)")
    }

    package func callForText(
        _ key: VirtualKey, data: [UInt8]?, links: PeerLinks?, roles: Roles, completion: @escaping TextCompletion
    ) {
        call(key, data: data, links: links) { completion($0.map { .bytes($0.answer) }) }
    }

    package func findPlaces(
        of keys: UnsafeBufferPointer<UnsafeRawBufferPointer>, into places: UnsafeMutableBufferPointer<Place>
    ) -> Bool { false }

    package func hash(of key: UnsafeRawBufferPointer, at place: Place) -> UInt64? { keyHash(key) }

    package func kind(
        ofKey key: UnsafeRawBufferPointer, colons: Int, virtual: Bool, place: Place?
    ) -> Router.KeyKind {
        switch route(key, virtual: virtual) {
        case .local(let hash): .ownItem(hash: hash)
        case .remote(let place): .remoteItem(place)
        case .virtual: .other
        }
    }

    package func hashToPrefetch(of key: UnsafeRawBufferPointer) -> UInt64? { keyHash(key) }

    package func place(of key: VirtualKey) -> Place? { nil }

    package func carryOutFlush(now: UInt32) {}
    package func locate(_ key: UnsafeRawBufferPointer) -> LocatedMethod? { nil }
    package var objects: ObjectHosts? { nil }

    package var ownStatistics: [(name: String, value: Int)] { [] }
    package var scripts: [ScriptStatus] { [] }
    package var node: Engine? { nil }

    /// For a router that knows nothing but its stores.
    package func flushAll(
        delaySeconds: UInt32, now: UInt32, links: PeerLinks?, completion: @escaping CallCompletion
    ) {
        for store in stores.all { store.flushAll(at: now &+ delaySeconds, now: now) }
        completion(.success(.null))
    }
}

extension Router: CommandRouter {
    @inline(__always)
    package func carryOutFlush(now: UInt32) { engine.flush.carryOutDue(now: now) }

    /// Methods of objects run in the order of their calls anyway; services work in the background.
    package func holdsBack(_ key: VirtualKey) -> Bool { isService(key) }

    package var stores: ItemStores { engine.stores }
    package var objects: ObjectHosts? { engine.objects }

    package func call(_ key: VirtualKey, data: [UInt8]?, links: PeerLinks?, completion: @escaping CallCompletion) {
        call(key, data: data, links: links, deadline: nil, completion: completion)
    }

    package var scripts: [ScriptStatus] { engine.catalog.statuses }
    package var node: Engine? { engine }

    package var ownStatistics: [(name: String, value: Int)] {
        var list = [("nodes", cluster.topology.nodes.count), ("frames", engine.frames.frames.count)]
        list.append(("compute_queue", engine.compute.queued))
        list.append(("compute_paused", engine.compute.paused))
        list.append(("job_scripts", engine.jobScripts.running))
        list.append(("job_scripts_waiting", engine.jobScripts.waiting))
        list.append(("job_script_bytes", engine.jobStates.memory.usedBytes))
        list.append(("job_script_limit_bytes", engine.jobStates.memory.limitBytes))
        let memory = engine.frames.resources.memory
        list.append(("frame_row_bytes", memory.usedBytes))
        list.append(("frame_schema_bytes", memory.schemaBytes))
        list.append(("frame_derived_bytes", memory.derivedBytes))
        list.append(("frame_limit_bytes", memory.limitBytes))
        for (at, shard) in engine.shards.enumerated() {
            let objects = shard.objects.statistics
            list.append(("shard:\(at):objects_live", objects.live))
            list.append(("shard:\(at):script_memory_bytes", objects.memoryBytes))
            list.append(("shard:\(at):index_bytes", objects.indexBytes))
            list.append(("shard:\(at):calls", objects.calls))
            list.append(("shard:\(at):call_failures", objects.failures))
            list.append(("shard:\(at):calls_refused", objects.refused))
            list.append(("shard:\(at):calls_moved", objects.moved))
            list.append(("shard:\(at):objects_shelved", objects.shelved))
            list.append(("shard:\(at):objects_unshelved", objects.unshelved))
        }
        return list.map { (name: $0.0, value: $0.1) }
    }
}
