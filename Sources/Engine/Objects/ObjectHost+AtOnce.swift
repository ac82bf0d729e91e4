// Calls that are answered before they return: the gate is free, the object is live, the method is short.
//
// Unsafe: keys and answers are raw buffers, good for as long as the call lasts.

/// What became of a call.
package enum CallAtOnce {
    /// The key names no method of an object of this node: an item, a service's key, or something on another node.
    case notHere
    /// Nothing has happened: it has to go the way of all calls.
    case declined
    /// The answer was given.
    case answered
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
    /// Like `call`, where that would complete before it returns. `nameEnd`: where the object's name ends in the key, which
    /// holds no `%`. `answer` gets the answer as text, under the gate: it must not call back.
    package func callAtOnce(
        _ match: MethodMatch, key: UnsafeRawBufferPointer, nameEnd: Int, nameHash: UInt64,
        data: UnsafeRawBufferPointer?, answer: (UnsafeRawBufferPointer) -> Void
    ) -> CallAtOnce {
        guard gate.tryEnter() else { return .declined }
        let outcome = machine.startAtOnce(
            match, key: key, nameEnd: nameEnd, nameHash: nameHash, data: data, sliceNanoseconds: inlineNanoseconds,
            answer: answer)
        switch outcome {
        case .paused: return .paused(PausedCall(host: self))
        case .declined:
            leave()
            return .declined
        case .answered:
            publish()
            leave()
            return .answered
        case .failed(let failure):
            publish()
            leave()
            return .failed(failure)
        }
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
