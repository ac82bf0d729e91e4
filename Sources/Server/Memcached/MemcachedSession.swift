// One memcached connection as a state machine: bytes and the time in, bytes and a verdict out.
//
// Unsafe: parses and stores straight from the bytes it is given, through raw buffers.
//
// It knows no channel: whoever drives it feeds `receive`, sends its `output`, and looks at `verdict`. One thread
// at a time; only the inbox is touched by others.

import DequeModule
import Engine
package import Gather

package final class MemcachedSession<Routing: CommandRouter> {
    let router: Routing
    let stores: ItemStores
    let objects: ObjectHosts?
    let links: PeerLinks?
    let configuration: SessionConfiguration
    let statistics: MemcachedStatistics
    let counters: SessionCounters
    let parser: RequestParser
    let inbox: CompletionInbox

    // One thread at a time uses a session, and nothing that it calls comes back to it: accesses can't overlap, and are not
    // checked for that at run time.
    @exclusivity(unchecked) package internal(set) var verdict = SessionVerdict.open
    var now: UInt32 = 0
    @exclusivity(unchecked) var sending = SessionOutput()
    @exclusivity(unchecked) var slots = Deque<PendingSlot>()
    /// What this turn has for other nodes, a message each; empty between turns.
    @exclusivity(unchecked) var batches: [ForwardBatch] = []
    /// Retrievals of several keys so far.
    var retrievals: UInt64 = 0
    /// The number of the first slot in `slots`.
    var firstSlot: UInt64 = 0
    /// Bytes that wait in the slots, and values on their way to other nodes and to methods; what is in `out` comes on top.
    var queuedBytes = 0
    /// How large the next answer from elsewhere may be, by those that came lately: bounds how many are asked for at once.
    var answerBytesExpected = 64 << 10
    /// The next request may ask for what one before it does, or changes what those before it work on: nothing is consumed
    /// until all is answered.
    var isHeldBack = false
    /// The request at hand was not performed, as it has to wait for those before it: it will come again.
    var isPostponed = false
    var awaitsVisit = false

    @exclusivity(unchecked) var held = HeldInput()
    /// A retrieval whose keys are not all answered yet, because the session stalled in it.
    @exclusivity(unchecked) var retrieval: (verb: RetrievalVerb, expiry: UInt32, keyBytesLeft: Int, lineBytesLeft: Int)?
    /// A list of keys that is not all written yet, because the session stalled in it.
    @exclusivity(unchecked) var dump: KeyDump?
    /// Nothing is done for the client before it has said who it is.
    var awaitsCredentials: Bool
    private var isFresh = true
    /// What comes next in the bytes that are being worked through.
    @exclusivity(unchecked) private var plain = PlainRequests()

    /// `wake` is called from any thread when answers have arrived; it must lead to a call of `collect` on the session's
    /// own thread.
    package init(
        router: Routing, links: PeerLinks?, configuration: SessionConfiguration, statistics: MemcachedStatistics,
        counters: SessionCounters, wake: @escaping @Sendable () -> Void
    ) {
        self.router = router
        stores = router.stores
        objects = router.objects
        self.links = links
        self.configuration = configuration
        self.statistics = statistics
        self.counters = counters
        parser = RequestParser(retrievalLineBytesMax: configuration.retrievalLineBytesMax)
        inbox = CompletionInbox(wake: wake)
        awaitsCredentials = configuration.credentials != nil
    }

    // MARK: In

    /// Takes bytes from the connection. `now`: unix seconds. While stalled or closing they are only kept.
    @_specialize(where Routing == Router)
    package func receive(_ bytes: UnsafeRawBufferPointer, now: UInt32) {
        begin(now)
        counters.add(.bytesRead, UInt64(truncatingIfNeeded: bytes.count))
        if held.isEmpty {
            let consumed = run(bytes)
            if consumed < bytes.count { held.append(UnsafeRawBufferPointer(rebasing: bytes[consumed...])) }
        } else {
            let awaitsMore = held.onlyLengthensLine(bytes)
            held.append(bytes)
            if awaitsMore { return }
            consumeHeld()
        }
        finishTurn()
    }

    /// Goes on after a stall, once the output has been sent.
    @_specialize(where Routing == Router)
    package func resume(now: UInt32) {
        begin(now)
        consumeHeld()
        finishTurn()
    }

    /// Takes answers that have arrived, and goes on where the session had stalled for them.
    @_specialize(where Routing == Router)
    package func collect(now: UInt32) {
        begin(now)
        takeAnswers()
        if verdict == .stalled { consumeHeld() }
        finishTurn()
    }

    @inline(__always)
    private func begin(_ now: UInt32) {
        self.now = now
        router.carryOutFlush(now: now)
    }

    /// Input that was not consumed: what follows the line of a peer.
    package func takeRemainingInput() -> [UInt8] { held.take() }

    private func consumeHeld() {
        guard held.isEnough, !held.isEmpty || retrieval != nil || dump != nil else { return }
        let bytes = held.take()
        let consumed = bytes.withUnsafeBytes { run($0) }
        held.putBack(consume bytes, without: consumed)
    }

    /// Answers that came while the session was at work are sent with the rest; then the verdict is found.
    private func finishTurn() {
        sendBatches()
        // Answers may free a stalled session, whose next requests may be answered at once again.
        while awaitsVisit {
            awaitsVisit = false
            let before = slots.count
            takeAnswers()
            if slots.count < before, verdict == .stalled, outputBytes < configuration.outputBytesHigh { consumeHeld() }
            sendBatches()
        }
        switch verdict {
        case .open, .stalled: verdict = mayConsume ? .open : .stalled
        case .closing, .upgradeToPeer, .shutdown: break
        }
    }

    /// The rest of a data block is to come.
    var awaitsBlock: Bool { held.awaitsBlock }

    // MARK: Out

    /// How many bytes may be sent now.
    package var outputBytes: Int { sending.sendableBytes(isPending: !slots.isEmpty) }
    /// Nothing is under way: a closing connection may be closed once the output is sent.
    package var isSettled: Bool { slots.isEmpty }

    /// What to send, good until something is called that changes the session.
    package var output: OutputPieces { sending.pieces(isPending: !slots.isEmpty) }

    /// The first bytes of `output` are on their way.
    package func didSend(_ count: Int) {
        counters.add(.bytesWritten, UInt64(truncatingIfNeeded: count))
        sending.didSend(count, isPending: !slots.isEmpty)
    }

    /// A job's result is on its way, which is on the account of all jobs until it was sent.
    package var holdsText: Bool { sending.pinned.isText }

    /// To be called when the client takes no more for now: nothing of the output may stay in the store.
    package func settleOutput() { sending.settle() }

    /// Lends the session a buffer to write to, where it has none of its own. See `giveBack`.
    @inline(__always)
    package func lend(_ buffer: inout ReplyBuffer) { sending.borrow(&buffer) }

    /// Takes back what was lent and is empty again: a session without anything to send holds no memory for it.
    @inline(__always)
    package func giveBack(_ buffer: inout ReplyBuffer) { sending.giveBack(&buffer) }

    private var mayConsume: Bool {
        guard slots.isEmpty else {
            return !isHeldBack
                && slots.count < min(configuration.pendingMax, 1 + configuration.answerBytesMax / answerBytesExpected)
                && queuedBytes + sending.written.readableBytes < configuration.queuedBytesMax
                && sending.ready.readableBytes < configuration.outputBytesHigh
        }
        return sending.written.readableBytes < configuration.outputBytesHigh && sending.pinned.isEmpty
    }

    // MARK: Consuming

    /// Works through whole requests; returns how many bytes are done with.
    private func run(_ bytes: UnsafeRawBufferPointer) -> Int {
        held.beginReading()
        var at = 0
        defer { plain.drop() }
        while at < bytes.count || retrieval != nil || dump != nil {
            switch verdict {
            case .open, .stalled: break
            case .closing, .upgradeToPeer, .shutdown: return at
            }
            guard mayConsume else {
                verdict = .stalled
                return at
            }
            if let request = nextPlain(bytes, at) {
                perform(request, bytes)
                at &+= request.requestBytes
                continue
            }
            if dump != nil {
                continueDump()
                continue
            }
            let rest = UnsafeRawBufferPointer(rebasing: bytes[at...])
            let consumed = step(rest)
            guard consumed > 0 else { break }
            at += consumed
        }
        return at
    }

    /// The request at `at`, if it is a plain one. The first of several looks ahead for all of them.
    @inline(__always)
    private func nextPlain(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> PlainRequest? {
        if let request = plain.next() { return request }
        guard held.swallowBytes == 0, retrieval == nil, dump == nil, !awaitsCredentials else { return nil }
        plain.fill(
            bytes, from: at, valueBytesMax: configuration.itemBytesMax, stores: stores, objects: objects,
            findOwners: { router.findOwners(of: $0, into: $1) },
            kind: { router.kind(ofKey: $0, colons: $1, virtual: configuration.allowsVirtualKeys, owner: $2) })
        return plain.next()
    }

    @inline(__always)
    private func perform(_ request: PlainRequest, _ bytes: UnsafeRawBufferPointer) {
        isFresh = false
        let key = request.key(in: bytes)
        if let node = request.node { return forward(request, key, node, bytes) }
        guard let block = request.set else {
            if let method = request.method {
                let bringsEnd =
                    answerAtOnce(method, key, .get, isAlone: true) ?? retrieveKey(key, .get, 0, isAlone: true)
                if !bringsEnd { sending.written.writeLine("END\r\n") }
                return
            }
            retrieveLocal(key, hash: request.hash, answersUnique: false)
            return sending.written.writeLine("END\r\n")
        }
        let valueStart = request.start &+ request.lineBytes
        storeLocal(
            .set, key: key, hash: request.hash, flags: block.flags, expiry: expiryInstant(block.exptime, now: now),
            cas: 0, value: UnsafeRawBufferPointer(rebasing: bytes[valueStart..<valueStart &+ block.valueBytes]),
            isSilent: block.isSilent)
    }

    /// Apart from what a node does for its own keys, which is short and comes far more often.
    @inline(never)
    private func forward(
        _ request: PlainRequest, _ key: UnsafeRawBufferPointer, _ node: Int, _ bytes: UnsafeRawBufferPointer
    ) {
        guard let block = request.set else {
            return forwardRetrieval(key, node, isMethod: request.isRemoteMethod, answersUnique: false, isAlone: true)
        }
        let valueStart = request.start &+ request.lineBytes
        forwardSet(
            key, node, flags: block.flags, expiry: expiryInstant(block.exptime, now: now),
            value: UnsafeRawBufferPointer(rebasing: bytes[valueStart..<valueStart &+ block.valueBytes]),
            isSilent: block.isSilent)
    }

    /// One request, or a part of one; 0 when more input is needed.
    @inline(__always)
    private func step(_ bytes: UnsafeRawBufferPointer) -> Int {
        if held.swallowBytes > 0 { return held.skip(of: bytes.count) }
        if retrieval != nil { return continueRetrieval(bytes) }
        if isFresh {
            // Memcached's binary protocol begins each request with this byte; no client of ours does.
            if bytes[0] == 0x80 {
                verdict = .closing
                return bytes.count
            }
            if let consumed = peerLine(bytes) { return consumed }
        }
        if awaitsCredentials { return authenticate(bytes) }
        switch parser.parse(bytes) {
        case .needMore:
            held.awaitsLineEnd = bytes.count > RequestParser.lineBytesMax
            return 0
        case .request(let request, let lineBytes):
            isFresh = false
            let consumed = perform(request, bytes, lineBytes)
            guard isPostponed else { return consumed }
            isPostponed = false
            return 0
        case .refused(let refusal, let lineBytes, let isSilent, let blockBytes):
            isFresh = false
            held.swallowBytes = blockBytes
            if !isSilent { sending.written.writeLine(refusal.line) }
            return lineBytes
        case .notAClient:
            verdict = .closing
            return bytes.count
        }
    }

    /// The first line of a peer: how much of the input it took, 0 to wait for its end; nil when it is a client's.
    private func peerLine(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard configuration.allowsPeers else {
            isFresh = false
            return nil
        }
        switch OpeningWords(bytes) {
        case .clients:
            isFresh = false
            return nil
        case .needsMore: return bytes.count < RequestParser.lineBytesMax ? 0 : nil
        case .peers(let line, let lineBytes):
            verdict = .upgradeToPeer(line: line)
            return lineBytes
        }
    }

    @inline(__always)
    private func perform(_ request: Request, _ bytes: UnsafeRawBufferPointer, _ lineBytes: Int) -> Int {
        if case .flushAll(let delaySeconds, let isSilent) = request, delaySeconds > 0, configuration.allowsFlush,
            isFlush(UnsafeRawBufferPointer(rebasing: bytes[lineBytes...]))
        {
            // The next one takes its place before its time comes: nobody has to hear of this one.
            counters.add(.cmdFlush)
            if !isSilent { sending.written.writeLine("OK\r\n") }
            return lineBytes
        }
        if !slots.isEmpty, request.isBarrier {
            isPostponed = true
            holdBack()
            return 0
        }
        switch request {
        case .retrieval(let verb, let exptime, let keys):
            let expiry = verb.touches ? expiryInstant(exptime, now: now) : 0
            return retrieve(verb, expiry, bytes, keys, lineBytes)
        case .storage(let storage):
            return store(storage, bytes, lineBytes)
        case .meta(let verb):
            switch performMeta(verb, bytes, lineBytes) {
            case .done(let consumed, let swallow):
                held.swallowBytes = swallow
                return consumed
            case .needs(let count):
                held.neededBytes = count
                return 0
            }
        case .quit:
            verdict = .closing
        case .shutdown(let isKnown):
            if !configuration.allowsShutdown {
                sending.written.writeLine("SERVER_ERROR: shutdown not enabled\r\n")
            } else if isKnown {
                verdict = .shutdown
            } else {
                sending.written.writeLine("CLIENT_ERROR invalid shutdown mode\r\n")
            }
        case .dump(let style, let isEmpty): beginDump(style, isEmpty: isEmpty)
        default:
            performOther(request, bytes)
        }
        return lineBytes
    }

    private func isFlush(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count > 0, case .request(.flushAll, _) = parser.parse(bytes) else { return false }
        return true
    }

    // MARK: Retrieval

    /// Answers the keys of a line, each a piece of its own; stops between two of them when the session stalls.
    @inline(__always)
    private func retrieve(
        _ verb: RetrievalVerb, _ expiry: UInt32, _ bytes: UnsafeRawBufferPointer, _ keys: Range<Int>, _ lineBytes: Int
    ) -> Int {
        var at = keys.lowerBound
        let end = keys.upperBound
        while at < end, bytes[at] == 0x20 { at += 1 }
        let start = at
        at = KeyScan.blank(UnsafeRawBufferPointer(rebasing: bytes[..<end]), from: at)
        var next = at
        while next < end, bytes[next] == 0x20 { next += 1 }
        if next == end {
            let key = UnsafeRawBufferPointer(rebasing: bytes[start..<at])
            let bringsEnd = !key.isEmpty && retrieveKey(key, verb, expiry, isAlone: true)
            if !bringsEnd { sending.written.writeLine("END\r\n") }
            return lineBytes
        }
        retrieval = (verb, expiry, keyBytesLeft: end - start, lineBytesLeft: lineBytes - start)
        retrievals &+= 1
        return start + continueRetrieval(UnsafeRawBufferPointer(rebasing: bytes[start...]))
    }

    /// Goes on with the keys of a line, of which `bytes` holds the rest.
    private func continueRetrieval(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard let (verb, expiry, keyBytes, lineBytes) = retrieval else { return 0 }
        let keys = UnsafeRawBufferPointer(rebasing: bytes[..<keyBytes])
        var prefetched = 0
        var areOwnersKnown = false
        var place = 0
        var at = 0
        while at < keyBytes {
            while at < keyBytes, keys[at] == 0x20 { at &+= 1 }
            if at >= prefetched {
                (prefetched, areOwnersKnown) = prefetchKeys(keys, from: at)
                place = 0
            }
            let end = KeyScan.blank(keys, from: at)
            if end > at {
                let key = UnsafeRawBufferPointer(rebasing: keys[at..<end])
                _ = retrieveKey(
                    key, verb, expiry, isAlone: false, owner: areOwnersKnown ? plain.owners[place] : nil)
                place &+= 1
                if isPostponed {
                    isPostponed = false
                    retrieval = (verb, expiry, keyBytesLeft: keyBytes - at, lineBytesLeft: lineBytes - at)
                    return at
                }
            }
            at = end
            if at < keyBytes, !mayConsume {
                retrieval = (verb, expiry, keyBytesLeft: keyBytes - at, lineBytesLeft: lineBytes - at)
                return at
            }
        }
        retrieval = nil
        if let last = slots.indices.last, slots[last].retrieval == retrievals {
            slots[last].ownBytes = sending.written.readableBytes
        }
        sending.written.writeLine("END\r\n")
        return lineBytes
    }

    /// Starts to bring in what the next keys of a line need; returns where the first key after them starts, and whether it is
    /// known now whose they are. Methods are among them: they cost a little, and change nothing.
    @inline(__always)
    private func prefetchKeys(_ keys: UnsafeRawBufferPointer, from start: Int) -> (end: Int, areOwnersKnown: Bool) {
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: PlainRequests.countMax) { hashes in
            var count = 0
            var at = start
            while at < keys.count, count < hashes.count {
                let end = KeyScan.blank(keys, from: at)
                plain.keys[count] = UnsafeRawBufferPointer(rebasing: keys[at..<end])
                count &+= 1
                at = end
                while at < keys.count, keys[at] == 0x20 { at &+= 1 }
            }
            let own = router.findOwners(of: UnsafeBufferPointer(rebasing: plain.keys[..<count]), into: plain.owners)
            var hashCount = 0
            for key in 0..<count where own == nil || plain.owners[key] == own {
                hashes[hashCount] = keyHash(plain.keys[key])
                hashCount &+= 1
            }
            if hashCount > 1 { stores.prefetch(UnsafeBufferPointer(rebasing: hashes[..<hashCount])) }
            return (at, own != nil)
        }
    }

    // MARK: Storage

    @inline(__always)
    private func store(_ request: StorageRequest, _ bytes: UnsafeRawBufferPointer, _ lineBytes: Int) -> Int {
        guard request.valueBytes <= configuration.itemBytesMax else {
            held.swallowBytes = request.valueBytes + 2
            refuse(request, key: UnsafeRawBufferPointer(rebasing: bytes[request.key]), .tooLarge)
            return lineBytes
        }
        let blockEnd = lineBytes + request.valueBytes
        guard bytes.count >= blockEnd + 2 else {
            held.neededBytes = blockEnd + 2
            return 0
        }
        if bytes[blockEnd] != 0x0D || bytes[blockEnd + 1] != 0x0A {
            if !request.isSilent { sending.written.writeLine("CLIENT_ERROR bad data chunk\r\n") }
        } else {
            storeKey(
                request, key: UnsafeRawBufferPointer(rebasing: bytes[request.key]),
                value: UnsafeRawBufferPointer(rebasing: bytes[lineBytes..<blockEnd]))
        }
        return blockEnd + 2
    }
}
