// `stats detail`: how often keys of each prefix were asked for, found, stored and deleted, while somebody wants to know.

import Synchronization

/// Counts by the part of a key before the delimiter. Off by default: then a command pays one load.
package final class PrefixStatistics: Sendable {
    /// Prefixes beyond this many are not counted, so that a client's keys cannot fill the memory.
    static let prefixesMax = 10_000

    struct Counts: Sendable, Equatable {
        var gets: UInt64 = 0
        var hits: UInt64 = 0
        var sets: UInt64 = 0
        var deletes: UInt64 = 0
    }

    enum Event {
        case get(isHit: Bool)
        case set, delete
    }

    let delimiter: UInt8
    private let isOn: Atomic<Bool>
    private let counts = Mutex<[[UInt8]: Counts]>([:])

    package init(delimiter: UInt8 = UInt8(ascii: ":"), isOn: Bool = false) {
        self.delimiter = delimiter
        self.isOn = Atomic(isOn)
    }

    var isEnabled: Bool {
        get { isOn.load(ordering: .relaxed) }
        set { isOn.store(newValue, ordering: .relaxed) }
    }

    /// Cost: one load while it is off.
    @inline(__always)
    func record(_ key: UnsafeRawBufferPointer, _ event: @autoclosure () -> Event) {
        if isOn.load(ordering: .relaxed) { count(key, event()) }
    }

    /// A key without a delimiter belongs to no prefix.
    @inline(never)
    private func count(_ key: UnsafeRawBufferPointer, _ event: Event) {
        guard let end = key.firstIndex(of: delimiter) else { return }
        let prefix = Array(key[..<end])
        counts.withLock { all in
            guard all.count < Self.prefixesMax || all[prefix] != nil else { return }
            switch event {
            case .get(let isHit):
                all[prefix, default: Counts()].gets += 1
                if isHit { all[prefix, default: Counts()].hits += 1 }
            case .set: all[prefix, default: Counts()].sets += 1
            case .delete: all[prefix, default: Counts()].deletes += 1
            }
        }
    }

    func reset() { counts.withLock { $0.removeAll() } }

    /// By prefix, in the order of their bytes.
    var all: [(prefix: [UInt8], counts: Counts)] {
        counts.withLock { all in
            all.map { ($0.key, $0.value) }.sorted { $0.0.lexicographicallyPrecedes($1.0) }
        }
    }
}
