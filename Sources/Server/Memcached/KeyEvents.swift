// What is done to the keys of this node by its clients, for `stats detail` and for who watches: one load for each command while
// nobody wants to know.

import Engine
import Synchronization

package final class KeyEvents: Sendable {
    enum Event {
        case get(isHit: Bool)
        case set(isStored: Bool)
        case delete(isFound: Bool)
    }

    let prefixes: PrefixStatistics
    let watches = EventWatches()
    private let isWanted: Atomic<Bool>

    package init(_ prefixes: PrefixStatistics) {
        self.prefixes = prefixes
        isWanted = Atomic(prefixes.isEnabled)
    }

    func countPrefixes(_ isOn: Bool) {
        prefixes.isEnabled = isOn
        refresh()
    }

    func add(_ watcher: Watcher) -> Bool {
        defer { refresh() }
        return watches.add(watcher)
    }

    func remove(_ watcher: Watcher) {
        watches.remove(watcher)
        refresh()
    }

    private func refresh() {
        isWanted.store(prefixes.isEnabled || watches.want([.fetchers, .mutations]), ordering: .relaxed)
    }

    @inline(__always)
    func record(_ key: UnsafeRawBufferPointer, _ event: @autoclosure () -> Event) {
        if isWanted.load(ordering: .relaxed) { tell(key, event()) }
    }

    /// What a meta command did.
    @inline(__always)
    func record(_ key: UnsafeRawBufferPointer, _ command: MetaCommand, _ status: MetaStatus) {
        let isDone = status == .found
        switch command.verb {
        case .get: record(key, .get(isHit: isDone))
        case .set: record(key, .set(isStored: isDone))
        case .delete: record(key, .delete(isFound: isDone))
        case .increment, .decrement, .inspect: break
        }
    }

    @inline(never)
    private func tell(_ key: UnsafeRawBufferPointer, _ event: Event) {
        switch event {
        case .get(let isHit):
            prefixes.record(key, .get(isHit: isHit))
            tell(.fetchers, "item_get", key, isHit ? "found" : "not_found")
        case .set(let isStored):
            prefixes.record(key, .set)
            tell(.mutations, "item_store", key, isStored ? "stored" : "not_stored")
        case .delete(let isFound):
            prefixes.record(key, .delete)
            tell(.mutations, "item_delete", key, isFound ? "deleted" : "not_found")
        }
    }

    private func tell(_ topic: WatchTopics, _ type: String, _ key: UnsafeRawBufferPointer, _ status: String) {
        watches.tell(topic) { "type=\(type) key=\(EventWatches.encoded(key)) status=\(status)" }
    }
}
