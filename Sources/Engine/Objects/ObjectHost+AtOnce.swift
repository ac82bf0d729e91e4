// Calls that are answered before they return: the gate is free, the object is live, the method is short.
//
// Unsafe: keys and answers are raw buffers, good for as long as the call lasts.

import Glibc

/// What became of a call.
package enum CallAtOnce {
    /// Nothing has happened: it has to go the way of all calls.
    case declined
    /// The answer was given.
    case answered
    /// There is no such object.
    case missed
    /// The object is as it was.
    case failed(Failure)
    /// The method goes on on the pool; the answer comes to whoever takes it.
    case paused(PausedCall)
}

/// A method that outlived its slice. `finish` has to be called, once.
package struct PausedCall {
    let host: ObjectHost

    /// The completion is called once, on another thread.
    package func finish(_ completion: @escaping @Sendable (Result<Value, Failure>) -> Void) {
        host.paused = completion
        host.compute.submit { host.resume() }
    }
}

extension ObjectHost {
    /// See `ObjectHosts.callAtOnce`.
    func callAtOnce(
        _ method: LocatedMethod, key: UnsafeRawBufferPointer, data: UnsafeRawBufferPointer?,
        answer: (UnsafeRawBufferPointer) -> Void
    ) -> CallAtOnce {
        guard gate.tryEnter() || gate.enterSoon() else { return .declined }
        let outcome = machine.startAtOnce(
            method, key: key, data: data, sliceNanoseconds: inlineNanoseconds, answer: answer)
        switch outcome {
        case .paused: return .paused(PausedCall(host: self))
        case .declined:
            leave()
            return .declined
        case .answered:
            publish()
            leave()
            return .answered
        case .missed:
            leave()
            return .missed
        case .failed(let failure):
            publish()
            leave()
            return .failed(failure)
        }
    }

    /// See `ObjectHosts.prefetch`.
    func prefetch(_ methods: UnsafeBufferPointer<LocatedMethod>, shard: Int) {
        guard gate.tryEnter() else { return }
        machine.prefetch(methods, shard: shard)
        leave()
    }

    @inline(__always)
    private func leave() {
        if !machine.needsRoom, gate.leave() { return }
        leaveOrGoOn()
    }

    /// Others wait, or room has to be made.
    @inline(never)
    private func leaveOrGoOn() {
        if let next = makeRoomOrGetNext(onPool: false) { perform(next, onPool: false) }
    }
}

/// The objects of all shards of a node.
package struct ObjectHosts: Sendable {
    private let table: UncountedTable<ObjectHost>

    package init(_ hosts: [ObjectHost]) { table = UncountedTable(hosts) }

    /// Calls a method where it completes before this returns. `key` is the one that was located. `answer` gets the answer as
    /// text, under the gate: it must not call back.
    @inline(__always)
    package func callAtOnce(
        _ method: LocatedMethod, key: UnsafeRawBufferPointer, data: UnsafeRawBufferPointer?,
        answer: (UnsafeRawBufferPointer) -> Void
    ) -> CallAtOnce {
        table.with(method.shard) {
            $0.callAtOnce(method, key: key, data: data, answer: answer)
        }
    }

    /// Starts to bring what these calls will look at into the processor's cache. Worth it from two on, at most 16.
    package func prefetch(_ methods: UnsafeBufferPointer<LocatedMethod>) {
        for shard in 0..<table.count where methods.contains(where: { $0.shard == shard }) {
            table.with(shard) { $0.prefetch(methods, shard: shard) }
        }
    }
}

extension Engine {
    /// The method that a key names, if its object is one of this node's and the key says its name as it is: nil with a `%`.
    /// `hashOfOwn`: gets a routing key and its hash; what it says finds the shard, and nil says that another node answers.
    @inline(__always)
    package func locate(
        _ key: UnsafeRawBufferPointer, hashOfOwn: (UnsafeRawBufferPointer, UInt64) -> UInt64?
    ) -> LocatedMethod? {
        guard let found = catalog.find(key), let base = key.baseAddress else { return nil }
        var nameEnd = found.nameStart
        var hasTag = false
        while nameEnd < key.count {
            let byte = key[nameEnd]
            if byte == 0x3A { break }
            hasTag = hasTag || byte == UInt8(ascii: "{")
            nameEnd &+= 1
        }
        guard nameEnd > found.nameStart, memchr(base, CInt(UInt8(ascii: "%")), key.count) == nil else { return nil }
        let name = UnsafeRawBufferPointer(start: base + found.nameStart, count: nameEnd &- found.nameStart)
        let nameHash = keyHash(name)
        let routing = hasTag ? VirtualKey.routingKey(ofName: name) : name
        guard let hash = hashOfOwn(routing, hasTag ? keyHash(routing) : nameHash) else { return nil }
        return LocatedMethod(
            version: found.version, method: found.method, nameStart: found.nameStart, nameEnd: nameEnd,
            nameHash: nameHash, shard: stores.index(ofHash: hash))
    }
}
