// Counters of the memcached port, one set per event loop, summed when somebody asks.
//
// Unsafe: owns the counters' memory. Each set is written by its event loop alone and read by any thread.

import Engine
import Synchronization

package enum SessionCounter: Int, CaseIterable, Sendable {
    case cmdGet, cmdSet, cmdFlush, cmdTouch, getHits, getMisses, deleteHits, deleteMisses, incrHits, incrMisses
    case decrHits, decrMisses, casHits, casMisses, casBadval, touchHits, touchMisses, storeTooLarge, storeNoMemory
    case cmdMeta, authCommands, authErrors, idleKicks, slowReaderKicks, bytesRead, bytesWritten, virtualCalls,
        virtualErrors, forwards,
        forwardErrors, buffersRefused
}

/// One event loop's counters.
package final class SessionCounters: @unchecked Sendable {
    private let values: UnsafeMutablePointer<Atomic<UInt64>>

    package init() {
        values = .allocate(capacity: SessionCounter.allCases.count)
        for at in 0..<SessionCounter.allCases.count { (values + at).initialize(to: Atomic(0)) }
    }

    deinit {
        values.deinitialize(count: SessionCounter.allCases.count)
        values.deallocate()
    }

    /// By the owning event loop only: a load and a store, no locked instruction.
    @inline(__always)
    package func add(_ counter: SessionCounter, _ amount: UInt64 = 1) {
        let value = values + counter.rawValue
        value.pointee.store(value.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    package subscript(counter: SessionCounter) -> UInt64 { values[counter.rawValue].load(ordering: .relaxed) }
}

/// How many bytes the connections of one event loop hold: written by it alone, read by any thread.
final class BufferGauge: Sendable {
    private let held = Atomic<Int>(0)

    var bytes: Int { held.load(ordering: .relaxed) }

    func set(_ bytes: Int) { held.store(bytes, ordering: .relaxed) }
}

/// What a connection is doing and when it last sent something, for `stats conns`: written by its event loop alone.
final class ConnectionActivity: Sendable {
    /// By memcached's names.
    enum Doing: Int {
        case listening, reading, readingBlock, working

        var name: String {
            switch self {
            case .listening: "conn_listening"
            case .reading: "conn_read"
            case .readingBlock: "conn_nread"
            case .working: "conn_parse_cmd"
            }
        }
    }

    private let lastSecond: Atomic<UInt32>
    private let number: Atomic<Int>

    init(_ doing: Doing, now: UInt32) {
        lastSecond = Atomic(now)
        number = Atomic(doing.rawValue)
    }

    @inline(__always)
    func note(_ doing: Doing) { number.store(doing.rawValue, ordering: .relaxed) }

    @inline(__always)
    func note(second: UInt32) { lastSecond.store(second, ordering: .relaxed) }

    var doing: Doing { Doing(rawValue: number.load(ordering: .relaxed)) ?? .reading }

    func silentSeconds(now: UInt32) -> UInt32 {
        let last = lastSecond.load(ordering: .relaxed)
        return now > last ? now - last : 0
    }
}

/// What all sessions of a server share: counters, connections, the time it started.
package final class MemcachedStatistics: Sendable {
    struct Connection: Sendable {
        var address: String
        var listener: String
        var since: UInt32
        let activity: ConnectionActivity
    }

    private struct State {
        var counters: [SessionCounters] = []
        var gauges: [BufferGauge] = []
        /// What `stats reset` takes off.
        var base = [UInt64](repeating: 0, count: SessionCounter.allCases.count)
        /// The same of what the stores have done.
        var itemBase = ItemStatistics()
        var connections: [Int: Connection] = [:]
        var listeners: [Int: Connection] = [:]
        var nextConnection = 1
        var totalConnections = 0
        var rejectedConnections = 0
    }

    private let state = Mutex(State())
    let startedNanoseconds = monotonicNanoseconds()
    /// What is done to keys, for whoever wants to know.
    let events: KeyEvents
    var prefixes: PrefixStatistics { events.prefixes }
    /// 0 until somebody changed it.
    private let changedMemoryBytes = Atomic<Int>(0)
    private let crawlsAllowed = Atomic<Bool>(true)

    package init(prefixes: PrefixStatistics = PrefixStatistics()) { events = KeyEvents(prefixes) }

    // MARK: What clients change at run time

    /// The memory limit, where it is no longer that of the start.
    var memoryBytes: Int? {
        get { changedMemoryBytes.load(ordering: .relaxed) == 0 ? nil : changedMemoryBytes.load(ordering: .relaxed) }
        set { changedMemoryBytes.store(newValue ?? 0, ordering: .relaxed) }
    }

    var allowsCrawls: Bool {
        get { crawlsAllowed.load(ordering: .relaxed) }
        set { crawlsAllowed.store(newValue, ordering: .relaxed) }
    }

    // MARK: Counters

    /// A set of counters for one event loop.
    package func makeCounters() -> SessionCounters {
        let counters = SessionCounters()
        state.withLock { $0.counters.append(counters) }
        return counters
    }

    /// What the connections of one event loop hold.
    func makeGauge() -> BufferGauge {
        let gauge = BufferGauge()
        state.withLock { $0.gauges.append(gauge) }
        return gauge
    }

    /// Half-sent requests and unread answers of all connections, in bytes, as far as they are worth counting.
    var bufferedBytes: Int { state.withLock { $0.gauges.reduce(0) { $0 + $1.bytes } } }

    /// The sum over all event loops since the last reset.
    package subscript(counter: SessionCounter) -> UInt64 {
        state.withLock { state in
            state.counters.reduce(0) { $0 &+ $1[counter] } &- state.base[counter.rawValue]
        }
    }

    /// `items`: what the stores have done so far.
    func reset(items: ItemStatistics) {
        state.withLock { state in
            state.itemBase = items
            for counter in SessionCounter.allCases {
                state.base[counter.rawValue] = state.counters.reduce(0) { $0 &+ $1[counter] }
            }
            state.totalConnections = state.connections.count
            state.rejectedConnections = 0
        }
        prefixes.reset()
    }

    /// What the stores have done since the last reset, of what they have done in all. What they hold stays.
    func sinceReset(_ items: ItemStatistics) -> ItemStatistics {
        let base = state.withLock { $0.itemBase }
        var items = items
        items.totalItems -= base.totalItems
        items.evictions -= base.evictions
        items.flushedMisses -= base.flushedMisses
        items.expired -= base.expired
        items.reclaimed -= base.reclaimed
        items.evictedUnread -= base.evictedUnread
        items.expiredUnread -= base.expiredUnread
        return items
    }

    // MARK: Connections

    /// A number for the new connection, or nil when there are `max` already.
    func admit(
        max: Int, address: String, listener: String, now: UInt32
    ) -> (number: Int, activity: ConnectionActivity)? {
        let admitted: (number: Int, activity: ConnectionActivity)? = state.withLock { state in
            guard state.connections.count < max else {
                state.rejectedConnections += 1
                return nil
            }
            defer { state.nextConnection += 1 }
            state.totalConnections += 1
            let activity = ConnectionActivity(.reading, now: now)
            state.connections[state.nextConnection] = Connection(
                address: address, listener: listener, since: now, activity: activity)
            return (state.nextConnection, activity)
        }
        if admitted != nil { events.watches.tell(.connections) { "type=conn_new \(Self.words(address))" } }
        return admitted
    }

    /// A socket that listens is listed among the connections, and not counted.
    func add(listener name: String, now: UInt32) {
        state.withLock { state in
            state.listeners[state.nextConnection] = Connection(
                address: name, listener: name, since: now, activity: ConnectionActivity(.listening, now: now))
            state.nextConnection += 1
        }
    }

    func removeListeners() { state.withLock { $0.listeners = [:] } }

    func remove(connection: Int) {
        guard let gone = state.withLock({ $0.connections.removeValue(forKey: connection) }) else { return }
        events.watches.tell(.connections) { "type=conn_close \(Self.words(gone.address))" }
    }

    /// `tcp:127.0.0.1:50000` as the words that memcached's watchers know.
    private static func words(_ address: String) -> String {
        let parts = address.split(separator: ":", maxSplits: 1).map(String.init)
        guard parts.count == 2, let colon = parts[1].lastIndex(of: ":") else {
            return "rip=\(EventWatches.encoded(address.utf8)) rport=0 transport=local"
        }
        return "rip=\(parts[1][..<colon]) rport=\(parts[1][parts[1].index(after: colon)...]) transport=\(parts[0])"
    }

    var connections: [(number: Int, connection: Connection)] {
        state.withLock { state in
            (state.listeners.map { ($0.key, $0.value) } + state.connections.map { ($0.key, $0.value) })
                .sorted { $0.0 < $1.0 }
        }
    }

    package var currentConnections: Int { state.withLock { $0.connections.count } }
    package var totalConnections: Int { state.withLock { $0.totalConnections } }
    package var rejectedConnections: Int { state.withLock { $0.rejectedConnections } }
}
