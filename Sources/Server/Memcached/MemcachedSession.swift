// One memcached connection as a state machine: bytes and the time in, bytes and a verdict out.
//
// Unsafe: parses and stores straight from the bytes it is given, through raw buffers.
//
// It knows no channel: whoever drives it feeds `receive`, sends its `output`, and looks at `verdict`. One thread
// at a time; only the inbox is touched by others.

import Engine
package import Gather

package final class MemcachedSession<Routing: CommandRouter> {
    private let context: SessionContext<Routing>
    private let replies: ReplyQueue
    private let forwards: ForwardQueue<Routing>
    private let items: ItemRequests<Routing>
    private let methods: MethodRequests<Routing>
    private let metas: MetaRequests<Routing>
    private let administration: AdministrationRequests<Routing>
    private let retrieval: LongRetrieval<Routing>
    /// For a client of the binary protocol; made at such a connection's first byte.
    private var binary: BinaryRequests<Routing>?
    private let permissions: RequestRoles<Routing>
    private let login: SessionLogin<Routing>

    // One thread at a time uses a session, and nothing that it calls comes back to it: accesses can't overlap, and are not
    // checked for that at run time: the loop over requests would ask several times for each (decision 66).
    @exclusivity(unchecked) private var current = SessionVerdict.open
    @exclusivity(unchecked) private var held = HeldInput()
    /// What comes next in the bytes that are being worked through.
    @exclusivity(unchecked) private var plain = PlainRequests()
    /// Nothing is done for the client before it has said who it is.
    private var awaitsCredentials: Bool
    @exclusivity(unchecked) private var language = Language.unknown

    /// What a connection speaks, as its first bytes say.
    private enum Language { case unknown, text, binary }

    /// `wake` is called from any thread when answers have arrived; it must lead to a call of `collect` on the session's
    /// own thread.
    package init(
        router: Routing, links: PeerLinks?, configuration: SessionConfiguration, statistics: MemcachedStatistics,
        counters: SessionCounters, client: ClientAddress = .local, wake: @escaping @Sendable () -> Void
    ) {
        let inbox = CompletionInbox(wake: wake)
        context = SessionContext(
            router: router, links: links, configuration: configuration, statistics: statistics, counters: counters,
            inbox: inbox, client: client)
        replies = ReplyQueue(configuration, counters: counters, inbox: inbox)
        forwards = ForwardQueue(context, replies: replies)
        methods = MethodRequests(context, replies: replies, forwards: forwards)
        items = ItemRequests(context, replies: replies, forwards: forwards, methods: methods)
        metas = MetaRequests(context, replies: replies, forwards: forwards, methods: methods, items: items)
        administration = AdministrationRequests(context, replies: replies, forwards: forwards)
        retrieval = LongRetrieval(context, replies: replies, items: items)
        permissions = RequestRoles(context)
        login = SessionLogin(context, replies: replies)
        awaitsCredentials = configuration.credentials != nil
    }

    package private(set) var verdict: SessionVerdict {
        @inline(__always) get { current }
        @inline(__always) set { current = newValue }
    }

    // MARK: In

    /// Takes bytes from the connection. `now`: unix seconds. While stalled or closing they are only kept.
    @_specialize(where Routing == Router)
    package func receive(_ bytes: UnsafeRawBufferPointer, now: UInt32) {
        context.begin(now)
        context.counters.add(.bytesRead, UInt64(truncatingIfNeeded: bytes.count))
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
        context.begin(now)
        consumeHeld()
        finishTurn()
    }

    /// Takes answers that have arrived, and goes on where the session had stalled for them.
    @_specialize(where Routing == Router)
    package func collect(now: UInt32) {
        context.begin(now)
        replies.takeAnswers(now: now)
        if verdict == .stalled { consumeHeld() }
        finishTurn()
    }

    /// Input that was not consumed: what follows the line of a peer.
    package func takeRemainingInput() -> [UInt8] { held.take() }

    private func consumeHeld() {
        guard held.isEnough, !held.isEmpty || retrieval.isUnderWay || administration.isDumping else { return }
        let bytes = held.take()
        let consumed = bytes.withUnsafeBytes { run($0) }
        held.putBack(consume bytes, without: consumed)
    }

    /// Answers that came while the session was at work are sent with the rest; then the verdict is found.
    private func finishTurn() {
        administration.writeWatched(below: context.configuration.outputBytesHigh)
        forwards.send()
        // Answers may free a stalled session, whose next requests may be answered at once again. What stopped for want of room goes
        // on as soon as there is some, also where no answer's turn has come: those ahead of their turn take less than was expected.
        while replies.takeVisit() || mayGoOn {
            replies.takeAnswers(now: context.now)
            if mayGoOn {
                verdict = .open
                consumeHeld()
            }
            forwards.send()
        }
        if verdict == .open, !replies.mayGrow { verdict = .stalled }
    }

    /// It stopped for want of room, which there is again. Nobody else would have it go on: `stalled` is what is left of a turn only
    /// where answers are awaited or output has to leave first.
    private var mayGoOn: Bool {
        verdict == .stalled && replies.mayGrow && outputBytes < context.configuration.outputBytesHigh
    }

    /// The rest of a data block is to come.
    var awaitsBlock: Bool { held.awaitsBlock }

    /// Starts to bring in what the items with these hashes of their keys will need.
    package func prefetch(_ hashes: UnsafeBufferPointer<UInt64>) { context.stores.prefetch(hashes) }

    /// What finds the item that the first request in these bytes asks for, if that is cheap to tell.
    func hashToPrefetch(_ bytes: UnsafeRawBufferPointer) -> UInt64? {
        let key = PlainRequests.firstKey(bytes) ?? BinaryRequestParser.firstKey(bytes)
        return key.flatMap { context.router.hashToPrefetch(of: $0) }
    }

    // MARK: Out

    /// How many bytes may be sent now.
    package var outputBytes: Int { replies.outputBytes }
    /// Nothing is under way: a closing connection may be closed once the output is sent.
    package var isSettled: Bool { replies.isEmpty }

    /// Whether there are other nodes, whose answers what may be sent can go with.
    var hasPeers: Bool { context.links != nil }
    /// How many replies have had to wait so far, those that still wait among them.
    var repliesAwaited: UInt64 { replies.nextSlot }
    /// Whether some of the first so many still wait.
    @inline(__always)
    func awaitsReplies(before count: UInt64) -> Bool { replies.isPending(before: count) }

    /// What to send, good until something is called that changes the session.
    package var output: OutputPieces { replies.output }

    /// The first bytes of `output` are on their way.
    package func didSend(_ count: Int) {
        context.counters.add(.bytesWritten, UInt64(truncatingIfNeeded: count))
        replies.didSend(count)
    }

    /// A job's result is on its way, which is on the account of all jobs until it was sent.
    package var holdsText: Bool { replies.holdsText }

    /// To be called when the client takes no more for now: nothing of the output may stay in the store.
    package func settleOutput() { replies.settle() }

    /// Lends the session a buffer to write to, where it has none of its own. See `giveBack`.
    @inline(__always)
    package func lend(_ buffer: inout ReplyBuffer) { replies.borrow(&buffer) }

    /// Takes back what was lent and is empty again: a session without anything to send holds no memory for it.
    @inline(__always)
    package func giveBack(_ buffer: inout ReplyBuffer) { replies.giveBack(&buffer) }

    // MARK: Memory

    /// What it holds of what has come and of what is to go, in bytes.
    var bufferBytes: Int { held.capacity &+ replies.bufferBytes }

    /// Refuses the half-sent request that it holds, whose rest will be skipped. False where it holds none, but output.
    package func refuseHeld() -> Bool {
        guard verdict == .open, !held.isEmpty, !retrieval.isUnderWay,
            !(binary?.awaitsCredentials ?? awaitsCredentials)
        else { return false }
        let bytes = held.take()
        context.counters.add(.buffersRefused)
        let isRefused = bytes.withUnsafeBytes { bytes in
            if let binary { return binary.refuseHeld(bytes) }
            guard held.neededBytes > 0, case .request(let request, let lineBytes) = context.parser.parse(bytes) else {
                return false
            }
            switch request {
            case .storage(let storage):
                items.refuse(storage, key: UnsafeRawBufferPointer(rebasing: bytes[storage.key]), .outOfMemory)
            case .meta(let verb): metas.refuseBlock(verb, bytes, lineBytes)
            default: break
            }
            return true
        }
        if isRefused {
            held.refuseRest(after: bytes.count)
        } else {
            // In the middle of a line, or of a header: where the next one starts can't be known.
            held.awaitBytes(0)
            if binary == nil { replies.written.writeLine("SERVER_ERROR out of memory reading request\r\n") }
            verdict = .closing
        }
        forwards.send()
        return true
    }

    // MARK: Consuming

    /// Works through whole requests; returns how many bytes are done with.
    private func run(_ bytes: UnsafeRawBufferPointer) -> Int {
        held.beginReading()
        return language == .text ? runText(bytes) : runOther(bytes)
    }

    /// A connection's first bytes, or what a client of the binary protocol sends.
    @inline(never)
    private func runOther(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard !bytes.isEmpty, verdict == .open || verdict == .stalled else { return 0 }
        if language == .unknown, let consumed = tellLanguage(bytes) { return consumed }
        guard let binary else { return runText(bytes) }
        return runBinary(bytes, binary)
    }

    /// Finds out what the connection speaks. How much of the input that took, where it is not for `runText` or `runBinary` now.
    private func tellLanguage(_ bytes: UnsafeRawBufferPointer) -> Int? {
        let wire = context.configuration.wireProtocol
        if bytes[0] == BinaryMagic.request {
            guard wire != .text else {
                verdict = .closing
                return bytes.count
            }
            language = .binary
            binary = BinaryRequests(
                context, replies: replies, forwards: forwards, items: items, methods: methods,
                administration: administration)
            return nil
        }
        if let consumed = peerLine(bytes) { return consumed }
        guard wire != .binary else {
            verdict = .closing
            return bytes.count
        }
        language = .text
        return nil
    }

    private func runText(_ bytes: UnsafeRawBufferPointer) -> Int {
        var at = 0
        defer { plain.drop() }
        while at < bytes.count || retrieval.isUnderWay || administration.isDumping {
            switch verdict {
            case .open, .stalled: break
            case .closing, .upgradeToPeer, .shutdown: return at
            }
            guard replies.mayGrow else {
                verdict = .stalled
                return at
            }
            if let request = plain.next() ?? lookAhead(bytes, at) {
                perform(request, bytes)
                at &+= request.pointee.requestBytes
                continue
            }
            if administration.isDumping {
                administration.continueDump()
                continue
            }
            let rest = UnsafeRawBufferPointer(rebasing: bytes[at...])
            let consumed = step(rest)
            guard consumed > 0 else {
                // The next of its keys has to wait for what was asked before.
                if retrieval.isUnderWay { verdict = .stalled }
                break
            }
            at += consumed
        }
        return at
    }

    /// The request at `at`, if it is a plain one; looks ahead for all that follow it.
    @inline(never)
    private func lookAhead(_ bytes: UnsafeRawBufferPointer, _ at: Int) -> UnsafePointer<PlainRequest>? {
        guard held.swallowBytes == 0, !retrieval.isUnderWay, !administration.isDumping,
            context.mayDoPlain
        else {
            return nil
        }
        let valueBytesMax = context.configuration.itemBytesMax
        fillPlain(bytes, at) { PlainRequests.scan(bytes, $0, valueBytesMax) }
        return plain.next()
    }

    @inline(__always)
    private func fillPlain(
        _ bytes: UnsafeRawBufferPointer, _ at: Int, _ scan: (_ start: Int) -> (PlainRequest, colons: Int)?
    ) {
        plain.fill(
            from: at, in: bytes, stores: context.stores, objects: context.objects, scan: scan,
            findPlaces: { context.router.findPlaces(of: $0, into: $1) },
            kind: {
                context.router.kind(ofKey: $0, colons: $1, virtual: context.configuration.allowsVirtualKeys, place: $2)
            })
    }

    // MARK: The binary protocol

    private func runBinary(_ bytes: UnsafeRawBufferPointer, _ binary: BinaryRequests<Routing>) -> Int {
        var at = 0
        defer { plain.drop() }
        while at < bytes.count, verdict == .open || verdict == .stalled {
            guard replies.mayGrow else {
                verdict = .stalled
                return at
            }
            if let request = plain.next() ?? lookAheadBinary(bytes, at, binary) {
                binary.perform(request, bytes)
                at &+= request.pointee.requestBytes
                continue
            }
            let consumed = stepBinary(UnsafeRawBufferPointer(rebasing: bytes[at...]), binary)
            guard consumed > 0 else { break }
            at += consumed
        }
        return at
    }

    @inline(never)
    private func lookAheadBinary(
        _ bytes: UnsafeRawBufferPointer, _ at: Int, _ binary: BinaryRequests<Routing>
    ) -> UnsafePointer<PlainRequest>? {
        guard held.swallowBytes == 0, binary.takesPlain else { return nil }
        let valueBytesMax = context.configuration.itemBytesMax
        fillPlain(bytes, at) { BinaryRequestParser.scan(bytes, $0, valueBytesMax) }
        return plain.next()
    }

    /// One request, or a part of one; 0 when more input is needed, or answers.
    private func stepBinary(_ bytes: UnsafeRawBufferPointer, _ binary: BinaryRequests<Routing>) -> Int {
        if held.swallowBytes > 0 { return held.skip(of: bytes.count) }
        let step = binary.step(bytes)
        guard !replies.takePostponement() else {
            verdict = .stalled
            return 0
        }
        return take(step, of: bytes.count)
    }

    /// How many of so many bytes a request has taken.
    private func take(_ step: RequestStep, of count: Int) -> Int {
        switch step {
        case .done(let consumed, let swallow):
            held.swallow(swallow)
            return consumed
        case .needs(let bytes):
            held.awaitBytes(bytes)
            return 0
        case .closes:
            verdict = .closing
            return count
        }
    }

    // MARK: The text protocol

    @inline(__always)
    private func perform(_ request: UnsafePointer<PlainRequest>, _ bytes: UnsafeRawBufferPointer) {
        let key = request.pointee.key(in: bytes)
        if let place = request.pointee.place { return forward(request, key, place, bytes) }
        guard let block = request.pointee.set else {
            if let method = request.pointee.method {
                let bringsEnd =
                    methods.answerAtOnce(method, key, .get, isAlone: true)
                    ?? items.retrieveKey(key, .get, .never, isAlone: true)
                if !bringsEnd { replies.written.writeLine("END\r\n") }
                return
            }
            items.retrieveLocal(key, hash: request.pointee.hash, answersUnique: false)
            return replies.written.writeLine("END\r\n")
        }
        items.storeLocal(
            .set, key: key, hash: request.pointee.hash, flags: block.flags,
            expiry: Expiry(exptime: block.exptime, now: context.now),
            cas: 0, value: request.pointee.value(block, in: bytes), isSilent: block.isSilent)
    }

    /// Apart from what a node does for its own keys, which is short and comes far more often.
    @inline(never)
    private func forward(
        _ request: UnsafePointer<PlainRequest>, _ key: UnsafeRawBufferPointer, _ place: Place,
        _ bytes: UnsafeRawBufferPointer
    ) {
        guard let block = request.pointee.set else {
            return forwards.addRetrieval(
                key, place, isMethod: request.pointee.isRemoteMethod, answersUnique: false, isAlone: true)
        }
        forwards.addSet(
            key, place, flags: block.flags, expiry: Expiry(exptime: block.exptime, now: context.now),
            value: request.pointee.value(block, in: bytes), isSilent: block.isSilent)
    }

    /// One request, or a part of one; 0 when more input is needed.
    @inline(__always)
    private func step(_ bytes: UnsafeRawBufferPointer) -> Int {
        if held.swallowBytes > 0 { return held.skip(of: bytes.count) }
        if retrieval.isUnderWay { return retrieval.goOn(bytes) }
        if awaitsCredentials { return authenticate(bytes) }
        switch context.parser.parse(bytes) {
        case .needMore:
            held.awaitLineEnd(after: bytes.count)
            return 0
        case .request(let request, let lineBytes):
            if context.roles != .all, refuses(request, bytes) { return lineBytes }
            let consumed = perform(request, bytes, lineBytes)
            guard replies.takePostponement() else { return consumed }
            verdict = .stalled
            return 0
        case .refused(let refusal, let lineBytes, let isSilent, let blockBytes):
            held.swallow(blockBytes)
            if !isSilent { replies.written.writeLine(refusal.line) }
            return lineBytes
        case .notAClient:
            verdict = .closing
            return bytes.count
        }
    }

    /// The first line of a peer: how much of the input it took, 0 to wait for its end; nil when it is a client's.
    private func peerLine(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard context.configuration.allowsPeers else { return nil }
        switch OpeningWords(bytes) {
        case .clients: return nil
        case .needsMore: return bytes.count < RequestParser.lineBytesMax ? 0 : nil
        case .peers(let line, let lineBytes):
            verdict = .upgradeToPeer(line: line)
            return lineBytes
        }
    }

    /// A client's first command says who it is, in the form of a `set`; how much of the input it took.
    @inline(never)
    private func authenticate(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard let credentials = context.configuration.credentials else {
            preconditionFailure("nobody is asked for any")
        }
        switch Authentication.step(bytes, credentials: credentials) {
        case .needs(let count):
            held.awaitBytes(count)
            return 0
        case .notAClient:
            verdict = .closing
            return bytes.count
        case .refused(let line, let consumed, let swallow):
            held.swallow(swallow)
            replies.written.writeLine(line)
            return consumed
        case .checked(let roles, let consumed):
            login.end(roles)
            awaitsCredentials = roles == nil
            return consumed
        }
    }

    /// Whether the client may not do this, which it is told then.
    @inline(never)
    private func refuses(_ request: Request, _ bytes: UnsafeRawBufferPointer) -> Bool {
        guard let refused = permissions.refusal(of: request, bytes) else { return false }
        held.swallow(refused.blockBytes)
        if !refused.isSilent { replies.written.writeFailure(refused.failure) }
        return true
    }

    @inline(__always)
    private func perform(_ request: Request, _ bytes: UnsafeRawBufferPointer, _ lineBytes: Int) -> Int {
        if case .flushAll(let delaySeconds, let isSilent) = request, delaySeconds > 0,
            context.configuration.allowsFlush,
            isFlush(UnsafeRawBufferPointer(rebasing: bytes[lineBytes...]))
        {
            // The next one takes its place before its time comes: nobody has to hear of this one.
            context.counters.add(.cmdFlush)
            if !isSilent { replies.written.writeLine("OK\r\n") }
            return lineBytes
        }
        if !replies.isEmpty, request.isBarrier {
            replies.postpone()
            return 0
        }
        switch request {
        case .retrieval(let verb, let exptime, let keys):
            let expiry = verb.touches ? Expiry(exptime: exptime, now: context.now) : .never
            return retrieve(verb, expiry, bytes, keys, lineBytes)
        case .storage(let storage):
            return store(storage, bytes, lineBytes)
        case .meta(let verb):
            return take(metas.perform(verb, bytes, lineBytes), of: bytes.count)
        case .quit:
            verdict = .closing
        case .shutdown(let isKnown):
            if !context.configuration.allowsShutdown {
                replies.written.writeLine("SERVER_ERROR: shutdown not enabled\r\n")
            } else if isKnown {
                verdict = .shutdown
            } else {
                replies.written.writeLine("CLIENT_ERROR invalid shutdown mode\r\n")
            }
        case .dump(let style, let isEmpty): administration.beginDump(style, isEmpty: isEmpty)
        default: performOther(request, bytes)
        }
        return lineBytes
    }

    private func performOther(_ request: Request, _ bytes: UnsafeRawBufferPointer) {
        switch request {
        case .delete(let key, let isSilent):
            items.update(.delete, .delete, UnsafeRawBufferPointer(rebasing: bytes[key]), isSilent)
        case .arithmetic(let verb, let key, let delta, let isSilent):
            items.update(
                .arithmetic(verb, delta: delta), .arithmetic(verb), UnsafeRawBufferPointer(rebasing: bytes[key]),
                isSilent)
        case .touch(let key, let exptime, let isSilent):
            let expiry = Expiry(exptime: exptime, now: context.now)
            items.update(.touch(expiry: expiry), .touch, UnsafeRawBufferPointer(rebasing: bytes[key]), isSilent)
        case .flushAll(let delaySeconds, let isSilent): administration.flush(delaySeconds, isSilent)
        case .stats(let arguments):
            administration.writeStatistics(UnsafeRawBufferPointer(rebasing: bytes[arguments]))
        case .verbosity(let isSilent): if !isSilent { replies.written.writeLine("OK\r\n") }
        case .version: replies.written.writeString("VERSION \(CacheismoVersion.memcached)\r\n")
        case .metaNoop: replies.written.writeLine("MN\r\n")
        case .acknowledged: replies.written.writeLine("OK\r\n")
        case .crawl(let isEmpty): administration.crawl(isEmpty: isEmpty)
        case .allowCrawls(let allows): administration.allowCrawls(allows)
        case .watch(let topics): administration.watch(topics)
        case .frameMemoryLimit(let megabytes, let isSilent):
            administration.limitFrameMemory(megabytes: megabytes, isSilent: isSilent)
        case .memoryLimit(let megabytes, let isSilent):
            administration.limitMemory(megabytes: megabytes, isSilent: isSilent)
        case .retrieval, .storage, .meta, .quit, .shutdown, .dump: preconditionFailure("handled before")
        }
    }

    private func isFlush(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count > 0, case .request(.flushAll, _) = context.parser.parse(bytes) else { return false }
        return true
    }

    // MARK: Retrieval

    /// Answers the keys of a line, each a piece of its own; stops between two of them when the session stalls.
    @inline(__always)
    private func retrieve(
        _ verb: RetrievalVerb, _ expiry: Expiry, _ bytes: UnsafeRawBufferPointer, _ keys: Range<Int>, _ lineBytes: Int
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
            let bringsEnd = !key.isEmpty && items.retrieveKey(key, verb, expiry, isAlone: true)
            if !bringsEnd { replies.written.writeLine("END\r\n") }
            return lineBytes
        }
        return start
            + retrieval.begin(
                verb, expiry, UnsafeRawBufferPointer(rebasing: bytes[start...]), keyBytes: end - start,
                lineBytes: lineBytes - start)
    }

    // MARK: Storage

    @inline(__always)
    private func store(_ request: StorageRequest, _ bytes: UnsafeRawBufferPointer, _ lineBytes: Int) -> Int {
        guard request.valueBytes <= context.configuration.itemBytesMax else {
            held.swallow(request.valueBytes + 2)
            items.refuse(request, key: UnsafeRawBufferPointer(rebasing: bytes[request.key]), .tooLarge)
            return lineBytes
        }
        let blockEnd = lineBytes + request.valueBytes
        guard bytes.count >= blockEnd + 2 else {
            held.awaitBytes(blockEnd + 2)
            return 0
        }
        if bytes[blockEnd] != 0x0D || bytes[blockEnd + 1] != 0x0A {
            if !request.isSilent { replies.written.writeLine("CLIENT_ERROR bad data chunk\r\n") }
        } else {
            items.storeKey(
                request, key: UnsafeRawBufferPointer(rebasing: bytes[request.key]),
                value: UnsafeRawBufferPointer(rebasing: bytes[lineBytes..<blockEnd]))
        }
        return blockEnd + 2
    }
}
