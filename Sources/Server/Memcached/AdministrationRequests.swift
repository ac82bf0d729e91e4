// What a session does for whoever looks after the server: statistics, flushes, limits, searches for expired items, lists of keys.
//
// Unsafe: arguments are raw buffers into the input.

import Engine
import Gather

/// One thread at a time.
final class AdministrationRequests<Routing: CommandRouter> {
    private let context: SessionContext<Routing>
    private let counters: SessionCounters
    private let replies: ReplyQueue
    private let forwards: ForwardQueue<Routing>
    /// A list of keys that is not all written yet. Looked at for each request: not checked for overlapping accesses, as little
    /// else of a session (decision 66).
    @exclusivity(unchecked) private var dump: KeyDump?
    /// What this connection has asked to be told of. Looked at in each turn, as the list.
    @exclusivity(unchecked) private var watcher: Watcher?

    init(_ context: SessionContext<Routing>, replies: ReplyQueue, forwards: ForwardQueue<Routing>) {
        self.context = context
        counters = context.counters
        self.replies = replies
        self.forwards = forwards
    }

    deinit { if let watcher { context.statistics.events.remove(watcher) } }

    // MARK: Watching

    /// From now on lines come between the answers to what else is asked; another `watch` is in place of the first.
    func watch(_ topics: WatchTopics) {
        guard context.configuration.allowsWatch else { return replies.written.writeLine(Refusal.noWatch.line) }
        let events = context.statistics.events
        if let watcher { events.remove(watcher) }
        let inbox = context.inbox
        let new = Watcher(topics) { inbox.wakeSession() }
        watcher = events.add(new) ? new : nil
        guard watcher != nil else { return replies.written.writeLine("WATCHER_TOO_MANY log watcher limit reached\r\n") }
        if let node = context.router.node { events.watches.listen(to: node.configuration.events) }
        replies.written.writeLine("OK\r\n")
    }

    /// What has happened since, where answers do not have to wait for others and the client keeps up.
    @inline(__always)
    func writeWatched(below outputBytesMax: Int) { if watcher != nil { writeLines(outputBytesMax) } }

    @inline(never)
    private func writeLines(_ outputBytesMax: Int) {
        guard let watcher, replies.isEmpty, replies.outputBytes < outputBytesMax else { return }
        let lines = watcher.take()
        if !lines.isEmpty { replies.written.writeBytes(lines) }
    }

    func writeStatistics(_ arguments: UnsafeRawBufferPointer) {
        report.write(arguments: arguments, to: &replies.written)
    }

    /// The same for a client of the binary protocol.
    func writeStatistics(_ arguments: UnsafeRawBufferPointer, _ echo: BinaryEcho) {
        var lines = ReplyBuffer()
        report.write(arguments: arguments, to: &lines)
        replies.written.writeBinaryStatistics(echo, lines.readable)
    }

    private var report: StatisticsReport {
        StatisticsReport(
            statistics: context.statistics, configuration: context.configuration, stores: context.stores.all,
            crawls: context.stores.crawls, own: context.router.ownStatistics, scripts: context.router.scripts,
            node: context.router.node, now: context.now)
    }

    func allowCrawls(_ allows: Bool) {
        context.statistics.allowsCrawls = allows
        replies.written.writeLine("OK\r\n")
    }

    func limitMemory(megabytes: UInt64, isSilent: Bool) {
        let line = setMemoryLimit(megabytes)
        if !isSilent { replies.written.writeLine(line) }
    }

    /// What frames may have from now on. Nothing of theirs goes for it.
    func limitFrameMemory(megabytes: UInt64, isSilent: Bool) {
        let line = setFrameMemoryLimit(megabytes)
        if !isSilent { replies.written.writeLine(line) }
    }

    private func setFrameMemoryLimit(_ megabytes: UInt64) -> StaticString {
        guard let node = context.router.node else { return "MEMLIMIT_ADJUST_FAILED there are no frames here\r\n" }
        guard megabytes >= 1 else { return "MEMLIMIT_TOO_SMALL frames have at least 1m\r\n" }
        guard megabytes <= UInt64(RawMemory.systemBytes >> 20) else {
            return "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n"
        }
        node.frames.resources.memory.setLimit(bytes: Int(megabytes) << 20)
        return "OK\r\n"
    }

    /// Flushes the cluster. A delay is in seconds, or an instant where it is longer than 30 days.
    func flush(_ delaySeconds: Int64, _ isSilent: Bool) {
        counters.add(.cmdFlush)
        guard context.configuration.allowsFlush else {
            if !isSilent { replies.written.writeLine("CLIENT_ERROR flush_all not allowed\r\n") }
            return
        }
        beginFlush(delaySeconds, isSilent ? .silent(.flush) : .acknowledgement)
    }

    /// The same for a client of the binary protocol.
    func flush(_ delaySeconds: Int64, _ echo: BinaryEcho) {
        counters.add(.cmdFlush)
        guard context.configuration.allowsFlush else { return replies.written.writeBinary(echo, .notAuthenticated) }
        beginFlush(delaySeconds, .binary(BinaryReply(echo, key: UnsafeRawBufferPointer(start: nil, count: 0))))
    }

    private func beginFlush(_ delaySeconds: Int64, _ reply: PendingReply) {
        let instant = delaySeconds <= 0 ? context.now : Expiry(exptime: delaySeconds, now: context.now).stored
        // What comes behind it waits until every node has answered: it would be flushed by one that is late.
        let slot = replies.openSlot(reply)
        replies.holdBack()
        forwards.send()
        let inbox = context.inbox
        context.router.flushAll(
            delaySeconds: instant > context.now ? instant - context.now : 0, now: context.now, links: context.links
        ) { inbox.post(.call($0), slot: slot) }
    }

    /// As memcached answers; what has to go for a lower limit goes in the background.
    private func setMemoryLimit(_ megabytes: UInt64) -> StaticString {
        guard megabytes >= 8 || megabytes == UInt64(context.configuration.memoryBytes >> 20) else {
            return "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"
        }
        guard megabytes <= 1 << 30 else {
            return "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n"
        }
        guard megabytes <= UInt64(RawMemory.systemBytes >> 20) else {
            return "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n"
        }
        let bytes = Int(megabytes) << 20
        context.stores.resize(memoryBytes: EngineConfiguration.itemMemoryBytes(of: bytes), now: context.now)
        context.statistics.memoryBytes = bytes
        return "OK\r\n"
    }

    func crawl(isEmpty: Bool) {
        guard context.statistics.allowsCrawls else {
            return replies.written.writeLine("CLIENT_ERROR lru crawler disabled\r\n")
        }
        let isUnderWay = !isEmpty && !context.stores.crawlExpired(now: context.now)
        replies.written.writeLine(isUnderWay ? "BUSY currently processing crawler request\r\n" : "OK\r\n")
    }

    // MARK: Lists of keys

    /// A list of keys is to be gone on with.
    @inline(__always)
    var isDumping: Bool { dump != nil }

    func beginDump(_ style: KeyDumpStyle, isEmpty: Bool) {
        guard context.statistics.allowsCrawls else {
            return replies.written.writeLine("CLIENT_ERROR lru crawler disabled\r\n")
        }
        guard context.configuration.allowsDump else {
            return replies.written.writeLine(
                style == .facts ? "ERROR metadump not allowed\r\n" : "ERROR key dump not allowed\r\n")
        }
        replies.written.writeLine("OK\r\n")
        if isEmpty { replies.written.writeLine(style.end) } else { dump = KeyDump(style) }
    }

    /// The next keys, few enough to keep nobody waiting for the store.
    @inline(never)
    func continueDump() {
        if dump?.writeSlice(of: context.stores, to: &replies.written, now: context.now) == false { dump = nil }
    }
}
