// `watch`: what happens on a node, told line by line to the connections that asked for it, as far as they take it.

import Engine
import Synchronization

/// What a connection may ask for, by memcached's names, and jobs.
package struct WatchTopics: OptionSet, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let fetchers = WatchTopics(rawValue: 1)
    package static let mutations = WatchTopics(rawValue: 2)
    package static let evictions = WatchTopics(rawValue: 4)
    package static let connections = WatchTopics(rawValue: 8)
    package static let jobs = WatchTopics(rawValue: 16)

    static let words: [(String, WatchTopics)] = [
        ("fetchers", .fetchers), ("mutations", .mutations), ("evictions", .evictions), ("connevents", .connections),
        ("jobs", .jobs),
    ]
}

/// The lines that one connection has not been sent yet.
final class Watcher: Sendable {
    private struct State {
        var lines: [UInt8] = []
        var skipped = 0
        /// The session will look in: it was woken for lines that it has not taken.
        var isExpected = false
    }

    /// What may wait for a connection that does not keep up; more is skipped.
    static let bytesMax = 256 << 10

    let topics: WatchTopics
    private let state = Mutex(State())
    private let wake: @Sendable () -> Void

    /// `wake` makes the session take the lines, on its own event loop; it may be called from any thread.
    init(_ topics: WatchTopics, wake: @escaping @Sendable () -> Void) {
        self.topics = topics
        self.wake = wake
    }

    /// False where the line was skipped.
    fileprivate func tell(_ line: [UInt8]) -> Bool {
        let (isTaken, mustWake) = state.withLock { state in
            guard state.lines.count + line.count <= Self.bytesMax else {
                state.skipped += 1
                return (false, false)
            }
            state.lines += line
            defer { state.isExpected = true }
            return (true, !state.isExpected)
        }
        if mustWake { wake() }
        return isTaken
    }

    /// All that waits, and in the end how many lines were skipped since.
    func take() -> [UInt8] {
        state.withLock { state in
            var lines: [UInt8] = []
            swap(&lines, &state.lines)
            if state.skipped > 0 { lines += Array("[skipped: \(state.skipped)]\r\n".utf8) }
            (state.skipped, state.isExpected) = (0, false)
            return lines
        }
    }
}

/// All watchers of a node. While there are none for it, an event costs one load.
final class EventWatches: Sendable {
    private struct State {
        var watchers: [ObjectIdentifier: Watcher] = [:]
        var lines: UInt64 = 0
        var sent: UInt64 = 0
        var skipped: UInt64 = 0
    }

    /// As memcached has it.
    static let watchersMax = 20

    private let wanted = Atomic<UInt8>(0)
    private let state = Mutex(State())

    /// False where there are too many.
    func add(_ watcher: Watcher) -> Bool {
        state.withLock { state in
            guard state.watchers.count < Self.watchersMax else { return false }
            state.watchers[ObjectIdentifier(watcher)] = watcher
            refresh(state)
            return true
        }
    }

    func remove(_ watcher: Watcher) {
        state.withLock { state in
            state.watchers[ObjectIdentifier(watcher)] = nil
            refresh(state)
        }
    }

    private func refresh(_ state: borrowing State) {
        wanted.store(state.watchers.values.reduce(0) { $0 | $1.topics.rawValue }, ordering: .relaxed)
    }

    @inline(__always)
    func want(_ topics: WatchTopics) -> Bool { wanted.load(ordering: .relaxed) & topics.rawValue != 0 }

    /// `what`: `type=… …`, without blanks but between its parts.
    func tell(_ topic: WatchTopics, _ what: () -> String) {
        guard want(topic) else { return }
        let milliseconds = SystemEnvironment().unixMilliseconds
        let fraction = String(1_000 + milliseconds % 1_000).dropFirst()
        let what = what()
        state.withLock { state in
            state.lines += 1
            let line = Array("ts=\(milliseconds / 1_000).\(fraction)000 gid=\(state.lines) \(what)\r\n".utf8)
            for watcher in state.watchers.values where watcher.topics.contains(topic) {
                if watcher.tell(line) { state.sent += 1 } else { state.skipped += 1 }
            }
        }
    }

    var figures: (watchers: Int, sent: UInt64, skipped: UInt64) {
        state.withLock { ($0.watchers.count, $0.sent, $0.skipped) }
    }

    /// What happens in the engine is told from now on.
    func listen(to events: NodeEvents) {
        events.listen { [self] event in
            switch event {
            case .evicted(let key, let wasRead, let bytes):
                tell(.evictions) {
                    "type=eviction key=\(Self.encoded(key)) fetch=\(wasRead ? "yes" : "no") size=\(bytes)"
                }
            case .jobEnded(let name, let status, let reason, let nanoseconds):
                tell(.jobs) {
                    let why = reason.isEmpty ? "" : " reason=\(reason)"
                    return
                        "type=job name=\(Self.encoded(Array(name.utf8))) status=\(status)\(why) us=\(nanoseconds / 1_000)"
                }
            }
        }
    }

    /// As memcached writes keys there: what would end a word is escaped.
    static func encoded(_ key: some Sequence<UInt8>) -> String {
        String(decoding: PercentEscapes.escaped(key) { $0 > 0x20 && $0 < 0x7F }, as: UTF8.self)
    }
}
