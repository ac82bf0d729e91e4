// What is known of runs that were asked for before: which frames they looked at, so that it can be told whether anything is new.

import Coordination
import Engine
import Gather
import Synchronization

/// ETags of runs. One is made of the plan (script, parameters, requirement, nodes) and the rows that are acknowledged of the frames
/// that the run looked at, as this node knows them: rows of another node are known 20 ms after their append.
final class RunMemory: Sendable {
    private static let runsMax = 4_096

    private let frames = Mutex([RunFlights.Key: Set<String>]())

    /// The tag of what the run would answer now; nil where that is not known, or a node is not there.
    func tag(of key: RunFlights.Key, _ form: String, _ cluster: Cluster) -> String? {
        guard let names = frames.withLock({ $0[key] }),
            cluster.otherNodes.allSatisfy({ cluster.statuses[$0].state == .up })
        else { return nil }
        return Self.tag(key, form, names, cluster.currentRegistry())
    }

    /// The tag of an answer that was worked out from these rows, or later ones: so it is never too new. Nil for one that may
    /// change without new rows.
    func note(_ key: RunFlights.Key, _ form: String, _ envelope: Envelope, _ registry: Registry) -> String? {
        guard envelope.status == .complete, !envelope.inexactness.dependsOnMore else { return nil }
        frames.withLock { known in
            if known.count >= Self.runsMax { known = [:] }
            known[key] = envelope.frames
        }
        return Self.tag(key, form, envelope.frames, registry)
    }

    private static func tag(_ key: RunFlights.Key, _ form: String, _ names: Set<String>, _ registry: Registry)
        -> String?
    {
        var hash = TextHash()
        hash.add(key.source)
        for (name, value) in key.parameters.sorted(by: { $0.key < $1.key }) {
            hash.add(Array(name.utf8))
            hash.add(value.json)
        }
        hash.add(Array("\(key.name) \(key.requirement) \(key.epoch) \(form)".utf8))
        for name in names.sorted() {
            guard case .one(let frame) = registry.frame(named: name) else { return nil }
            hash.add(Array("\(name) \(frame.id)".utf8))
            for counts in [frame.acknowledged.rows, frame.acknowledged.retired] {
                for (node, runs) in counts.sorted(by: { $0.key < $1.key }) {
                    hash.add(Array(node.utf8))
                    for (run, rows) in runs.sorted(by: { $0.key < $1.key }) { hash.add(Array("\(run) \(rows)".utf8)) }
                }
            }
        }
        return "\"\(hash.text)\""
    }
}

/// FNV-1a in two widths, the same in each process.
private struct TextHash {
    private var first: UInt64 = 0xCBF2_9CE4_8422_2325
    private var second: UInt64 = 0x9AE1_6A3B_2F90_404F

    /// A part, told apart from the next one.
    mutating func add(_ bytes: [UInt8]) {
        for byte in bytes { mix(byte) }
        mix(0xFF)
    }

    private mutating func mix(_ byte: UInt8) {
        first = (first ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
        second = (second &+ UInt64(byte)) &* 0x9E37_79B9_7F4A_7C15
        second ^= second >> 29
    }

    var text: String { String(first, radix: 16) + String(second, radix: 16) }
}
