// What was dropped and when, so that nobody brings it back who has missed it; bounded, and what was forgotten still counts.
// Pure: two of them merge into the same one in any order, any number of times.

import Engine

/// The newest drops by name. Of older ones only is known that there were some, up to `horizon`: whatever was made before that,
/// and is not there, may have been one of them.
struct Tombstones<Key: Hashable & Comparable & Sendable>: Sendable, Equatable {
    static var countMax: Int { 1_024 }

    /// Unix milliseconds, all after the horizon.
    private(set) var times: [Key: Int64] = [:]
    /// Nothing was forgotten that was dropped after it.
    private(set) var horizon: Int64 = 0

    init() {}

    mutating func note(_ key: Key, at time: Int64) {
        times[key] = max(time, times[key] ?? .min)
        forget()
    }

    mutating func merge(_ other: Self) {
        times.merge(other.times) { max($0, $1) }
        horizon = max(horizon, other.horizon)
        forget()
    }

    /// Whether it was dropped after that time, as far as that is still known by its name.
    func isAfter(_ time: Int64, _ key: Key) -> Bool { times[key].map { time < $0 } ?? false }

    /// Whether what was made at that time, and is not known here, may have been dropped and forgotten.
    func mayHaveForgotten(_ madeAt: Int64) -> Bool { madeAt <= horizon }

    private mutating func forget() {
        if times.count > Self.countMax {
            let newest = times.values.sorted(by: >)
            horizon = max(horizon, newest[Self.countMax])
        }
        if times.values.contains(where: { $0 <= horizon }) { times = times.filter { $0.value > horizon } }
    }
}

extension Tombstones {
    /// `{horizon, drops: [[key, time], …]}`
    func value(_ encode: (Key) -> Value) -> Value {
        .object([
            "horizon": .int(horizon),
            "drops": .array(times.sorted { $0.key < $1.key }.map { .array([encode($0.key), .int($0.value)]) }),
        ])
    }

    init?(value: Value, _ decode: (Value) -> Key?) {
        guard case .int(let horizon)? = value["horizon"], case .array(let drops)? = value["drops"] else { return nil }
        self.horizon = max(0, horizon)
        for drop in drops {
            guard case .array(let parts) = drop, parts.count == 2, let key = decode(parts[0]),
                case .int(let time) = parts[1]
            else { return nil }
            times[key] = time
        }
        // A horizon is what a full list has left behind: one without it would make everything go that was ever made.
        guard horizon <= 0 || !times.isEmpty && times.values.allSatisfy({ $0 > horizon }) else { return nil }
        forget()
    }
}
