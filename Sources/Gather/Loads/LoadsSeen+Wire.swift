// What an answer says of loads, as it travels and as the coordinator of a job compares it.

import Coordination
package import Engine

extension FrameLoads.Seen {
    /// `{named, committed: [load, milliseconds, load, …], pending: [load, …]}`
    package var value: Value {
        .object([
            "named": .int(Int64(namedMilliseconds)),
            "committed": .array(
                committed.sorted { $0.key < $1.key }.flatMap { load, age in
                    [.int(Int64(bitPattern: load)), .int(Int64(age))]
                }),
            "pending": .array(pending.sorted().map { .int(Int64(bitPattern: $0)) }),
        ])
    }

    /// Nil for what can be no such thing.
    package init?(value: Value) {
        guard case .int(let named)? = value["named"], named >= 0,
            case .array(let committed)? = value["committed"], committed.count % 2 == 0,
            let pending = value["pending"].flatMap(Set.init(loads:))
        else { return nil }
        self.init(pending: pending, namedMilliseconds: Int(named))
        for index in stride(from: 0, to: committed.count, by: 2) {
            guard case .int(let load) = committed[index], case .int(let age) = committed[index + 1], age >= 0 else {
                return nil
            }
            self.committed[UInt64(bitPattern: load)] = Int(age)
        }
    }

    var view: LoadViews.Seen {
        LoadViews.Seen(committed: committed, pending: pending, namedMilliseconds: namedMilliseconds)
    }
}

extension Set<UInt64> {
    /// A list of loads' numbers; nil when it is none.
    package init?(loads value: Value) {
        guard case .array(let list) = value else { return nil }
        self.init()
        for element in list {
            guard case .int(let load) = element else { return nil }
            insert(UInt64(bitPattern: load))
        }
    }
}
