// How a node carries out a batch of another node's: in one go, on the thread that read it, straight against the store.
//
// Unsafe: keys and values are raw buffers into the message, good until the run is over.

import Engine
import NIOCore

extension Router {
    /// Commands that are looked ahead for, so that the memory they will touch is on its way together.
    private static let aheadMax = 16

    /// Carries out the commands of a batch from where it is, in their order, and writes their answers. `mayGoOn` is asked
    /// before each, with how much `answers` holds then. `later` gets the answers that are not to be had at once: from any
    /// thread, before this returns or after it; `defers` hears of each of them first. Cost: allocates nothing for gets and
    /// sets of items, nor for methods that answer at once.
    func carryOut(
        _ batch: inout ForwardedBatch, into answers: inout ByteBuffer, mayGoOn: (_ answerBytes: Int) -> Bool,
        defers: (_ commandBytes: Int) -> Void,
        later: @escaping @Sendable (_ index: Int, _ commandBytes: Int, Result<Value, Failure>) -> Void
    ) -> ForwardedProgress {
        let now = environment.unixSeconds
        engine.flush.carryOutDue(now: now)
        return batch.bytes.withUnsafeReadableBytes { bytes in
            withUnsafeTemporaryAllocation(of: ForwardedCommand.self, capacity: Self.aheadMax) { ahead in
                while batch.at < bytes.count {
                    let count = lookAhead(bytes, from: batch.at, into: ahead)
                    guard count > 0, batch.index + count <= ForwardBatch.commandsMax else { return .malformed }
                    guard !environment.hasPassed(batch.due) else { return .late }
                    for at in 0..<count {
                        let command = ahead[at]
                        guard mayGoOn(answers.readableBytes) else { return .paused }
                        let index = batch.index
                        batch.index = index &+ 1
                        batch.at = command.end
                        switch command.kind {
                        case .get, .set, .item:
                            guard carryOut(item: command, index, bytes, now, &answers) else {
                                return .malformed
                            }
                        case .method, .call:
                            // Those before it may have taken their time.
                            guard !environment.hasPassed(batch.due) else { return .late }
                            let due = batch.due
                            let commandBytes = command.end &- command.keyAt
                            guard
                                call(
                                    command, index, bytes, due: due, &answers, defers: { defers(commandBytes) },
                                    later: { later(index, commandBytes, $0) })
                            else { return .malformed }
                        }
                    }
                }
                return .done
            }
        }
    }

    /// The next commands, and a start at what items they need.
    private func lookAhead(
        _ bytes: UnsafeRawBufferPointer, from start: Int, into ahead: UnsafeMutableBufferPointer<ForwardedCommand>
    ) -> Int {
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Self.aheadMax) { hashes in
            var (at, count, hashCount) = (start, 0, 0)
            while count < ahead.count, at < bytes.count, let command = ForwardedCommand(bytes, at) {
                ahead[count] = command
                at = command.end
                count &+= 1
                guard command.kind == .get || command.kind == .set else { continue }
                hashes[hashCount] = command.hash(of: command.key(in: bytes))
                hashCount &+= 1
            }
            if hashCount > 1 { engine.stores.prefetch(UnsafeBufferPointer(rebasing: hashes[..<hashCount])) }
            return count
        }
    }

    /// False where the command can't be read.
    private func carryOut(
        item command: ForwardedCommand, _ index: Int, _ bytes: UnsafeRawBufferPointer, _ now: UInt32,
        _ answers: inout ByteBuffer
    ) -> Bool {
        guard view.owns(partition: command.partition) else {
            ForwardAnswer.write(.failed(notTheOwner), index: index, into: &answers)
            return true
        }
        let key = command.key(in: bytes)
        let hash = command.hash(of: key)
        switch command.kind {
        case .get:
            let isHit = engine.stores.read(key: key, hash: hash, now: now) { item in
                ForwardAnswer.write(
                    value: item.value, flags: item.flags, unique: item.cas, index: index, into: &answers)
            }
            if !isHit { ForwardAnswer.write(.miss, index: index, into: &answers) }
        case .set:
            let (flags, expiry, value) = command.store(in: bytes)
            let outcome = engine.stores.store(
                .set, key: key, hash: hash, flags: flags, expiry: expiry, cas: 0, value: value, now: now)
            ForwardAnswer.write(outcome, index: index, into: &answers)
        case .item, .method, .call:
            guard let item = command.item(in: bytes) else { return false }
            let outcome = engine.stores[hash].execute(item, key: key, hash: hash, now: now)
            ForwardAnswer.write(outcome, index: index, into: &answers)
        }
        return true
    }

    /// False where the command can't be read.
    private func call(
        _ command: ForwardedCommand, _ index: Int, _ bytes: UnsafeRawBufferPointer, due: Deadline,
        _ answers: inout ByteBuffer, defers: () -> Void, later: @escaping CallCompletion
    ) -> Bool {
        guard view.owns(partition: command.partition) else {
            ForwardAnswer.write(.failure(notTheOwner), index: index, into: &answers)
            return true
        }
        guard command.kind == .method else {
            guard let (key, data) = command.call(in: bytes) else { return false }
            defers()
            call(key, inPartition: command.partition, data: data, deadline: due, completion: later)
            return true
        }
        let key = command.key(in: bytes)
        if let method = locate(key, inPartition: command.partition) {
            let outcome = engine.objects.callAtOnce(method, key: key, data: nil) { text in
                ForwardAnswer.write(text: text, index: index, into: &answers)
            }
            switch outcome {
            case .declined: break
            case .answered: return true
            case .missed:
                ForwardAnswer.write(.failure(Self.noSuchObject), index: index, into: &answers)
                return true
            case .failed(let failure):
                ForwardAnswer.write(.failure(failure), index: index, into: &answers)
                return true
            case .paused(let call):
                defers()
                call.finish(later)
                return true
            }
        }
        guard let virtualKey = VirtualKey(key) ?? VirtualKey(ofType: key) else { return false }
        defers()
        call(virtualKey, inPartition: command.partition, data: nil, deadline: due, completion: later)
        return true
    }

    private static let noSuchObject = Failure(.miss, "there is no such object")
}
