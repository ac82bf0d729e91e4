// What every node knows of the whole cluster's data: its frames, the rows acknowledged on each node, its jobs.
// Pure: two registries merge into the same one in any order, any number of times.

package import Engine

/// The rows that nodes have acknowledged of one frame, by node and by run of its process. A node that lost its memory
/// comes back with another incarnation, so its old rows stay expected: nobody can mistake an empty node for a complete one.
package struct FrameAcknowledgements: Sendable, Equatable {
    package var frame: String
    package var id: UInt64
    package var rows: [String: [UInt64: Int]]
    /// Of these rows, those that were dropped for their age.
    package var retired: [String: [UInt64: Int]]

    package init(
        frame: String, id: UInt64, rows: [String: [UInt64: Int]] = [:], retired: [String: [UInt64: Int]] = [:]
    ) {
        self.frame = frame
        self.id = id
        self.rows = rows
        self.retired = retired
    }

    package var expectedRows: Int { Self.total(rows) - Self.total(retired) }

    private static func total(_ counts: [String: [UInt64: Int]]) -> Int {
        counts.values.reduce(0) { $1.values.reduce($0) { $0.clampedAdding($1) } }
    }

    /// The rows that a node had and that this run of it does not.
    package func lostRows(node: String, incarnation: UInt64) -> Int {
        let others = (rows[node] ?? [:]).filter { $0.key != incarnation }
        return others.reduce(0) { $0.clampedAdding($1.value - (retired[node]?[$1.key] ?? 0)) }
    }

    /// Counts only grow while a frame lives, so the larger one is the newer one.
    package mutating func merge(_ other: FrameAcknowledgements) {
        for (node, incarnations) in other.rows {
            rows[node, default: [:]].merge(incarnations) { max($0, $1) }
        }
        for (node, incarnations) in other.retired {
            retired[node, default: [:]].merge(incarnations) { max($0, $1) }
        }
    }

    package var value: Value {
        let nodes = rows.sorted { $0.key < $1.key }.flatMap { node, incarnations in
            incarnations.sorted { $0.key < $1.key }.map { incarnation, count in
                Value.array([
                    .string(node), .int(Int64(bitPattern: incarnation)), .int(Int64(count)),
                    .int(Int64(retired[node]?[incarnation] ?? 0)),
                ])
            }
        }
        return .object(["frame": .string(frame), "id": .int(Int64(bitPattern: id)), "rows": .array(nodes)])
    }

    package init?(value: Value) {
        guard let frame = value["frame"]?.text, case .int(let id)? = value["id"],
            case .array(let nodes)? = value["rows"]
        else { return nil }
        self.init(frame: frame, id: UInt64(bitPattern: id))
        for entry in nodes {
            guard case .array(let parts) = entry, parts.count == 4, let node = parts[0].text,
                case .int(let incarnation) = parts[1], case .int(let count) = parts[2],
                case .int(let gone) = parts[3]
            else { return nil }
            // Both are counts of rows, whatever another node has made of them: their difference can't overflow.
            rows[node, default: [:]][UInt64(bitPattern: incarnation)] = max(0, Int(count))
            if gone > 0 { retired[node, default: [:]][UInt64(bitPattern: incarnation)] = Int(gone) }
        }
    }
}

/// How long a frame's rows are kept.
package struct FrameRetention: Sendable, Equatable {
    /// 0 for ever.
    package var seconds: Int64
    /// Of times: what a row's age is told by.
    package var column: String
    /// Unix milliseconds: the later one stands.
    package var setAt: Int64

    var value: Value { .array([.int(seconds), .string(column), .int(setAt)]) }

    init?(value: Value) {
        guard case .array(let parts) = value, parts.count == 3, case .int(let seconds) = parts[0],
            let column = parts[1].text, case .int(let setAt) = parts[2]
        else { return nil }
        self.init(seconds: seconds, column: column, setAt: setAt)
    }

    package init(seconds: Int64, column: String, setAt: Int64) {
        self.seconds = seconds
        self.column = column
        self.setAt = setAt
    }

    /// Total, so that all nodes choose the same.
    func isNewer(than other: FrameRetention) -> Bool {
        (setAt, seconds, column) > (other.setAt, other.seconds, other.column)
    }
}

package struct Registry: Sendable, Equatable {
    package struct FrameEntry: Sendable, Equatable {
        /// Unix milliseconds.
        package var createdAt: Int64
        package var schema: Value
        package var acknowledged: FrameAcknowledgements
        package var retention: FrameRetention?
        package var id: UInt64 { acknowledged.id }
    }

    package struct JobEntry: Sendable, Equatable {
        /// Unix milliseconds: the later definition wins, on a tie the greater source.
        package var definedAt: Int64
        /// Empty for a job that was dropped: a definition like any other, so that no node brings the job back.
        package var source: [UInt8]
    }

    package private(set) var frames: [String: FrameEntry] = [:]
    package private(set) var jobs: [String: JobEntry] = [:]
    /// When frames were dropped (unix milliseconds, by id), so that a node that missed the drop does not bring them back.
    private var dropped: [UInt64: Int64] = [:]
    private static let droppedMax = 1_000

    package init() {}

    /// Registers a frame; a name that exists keeps what it has.
    package mutating func createFrame(_ name: String, id: UInt64, schema: Value, now: Int64) {
        guard frames[name] == nil else { return }
        frames[name] = FrameEntry(
            createdAt: now, schema: schema, acknowledged: FrameAcknowledgements(frame: name, id: id))
    }

    package mutating func dropFrame(_ name: String, now: Int64) {
        guard let entry = frames.removeValue(forKey: name) else { return }
        noteDropped([entry.id: now])
    }

    package func isDropped(_ id: UInt64) -> Bool { dropped[id] != nil }

    /// `rows`: all that ever were there; `retired`: those of them that were dropped for their age.
    package mutating func acknowledge(
        _ rows: Int, retired: Int = 0, frame: String, node: String, incarnation: UInt64
    ) {
        frames[frame]?.acknowledged.rows[node, default: [:]][incarnation] = rows
        if retired > 0 { frames[frame]?.acknowledged.retired[node, default: [:]][incarnation] = retired }
    }

    /// A frame that does not exist keeps nothing.
    package mutating func retain(_ name: String, seconds: Int64, column: String, now: Int64) {
        let last = frames[name]?.retention?.setAt ?? 0
        frames[name]?.retention = FrameRetention(seconds: seconds, column: column, setAt: max(now, last.clampedAdding(1)))
    }

    package mutating func defineJob(_ name: String, source: [UInt8], now: Int64) {
        jobs[name] = JobEntry(definedAt: max(now, (jobs[name]?.definedAt ?? 0).clampedAdding(1)), source: source)
    }

    /// False when there is none.
    package mutating func dropJob(_ name: String, now: Int64) -> Bool {
        guard jobSource(name) != nil else { return false }
        defineJob(name, source: [], now: now)
        return true
    }

    package func jobSource(_ name: String) -> [UInt8]? {
        guard let job = jobs[name], !job.source.isEmpty else { return nil }
        return job.source
    }

    /// The names of the jobs that can be run, sorted.
    package var definedJobs: [String] { jobs.filter { !$0.value.source.isEmpty }.keys.sorted() }

    /// How many jobs there are, dropped ones too, and their bytes of source, leaving one out.
    package func jobTotals(without name: String) -> (count: Int, bytes: Int) {
        jobs.reduce((0, 0)) { $1.key == name ? $0 : ($0.0 + 1, $0.1 + $1.value.source.count) }
    }

    /// Takes in what another node knows. Commutative, associative, idempotent.
    package mutating func merge(_ other: Registry) {
        noteDropped(other.dropped)
        frames = frames.filter { dropped[$0.value.id] == nil }
        for (name, entry) in other.frames where dropped[entry.id] == nil {
            guard let mine = frames[name] else {
                frames[name] = entry
                continue
            }
            if mine.id == entry.id {
                frames[name]!.acknowledged.merge(entry.acknowledged)
                if let theirs = entry.retention, mine.retention.map({ theirs.isNewer(than: $0) }) ?? true {
                    frames[name]!.retention = theirs
                }
            } else if (entry.createdAt, entry.id) < (mine.createdAt, mine.id) {
                frames[name] = entry  // created twice at once: the older one stands
            }
        }
        for (name, job) in other.jobs {
            guard let mine = jobs[name] else {
                jobs[name] = job
                continue
            }
            let isNewer =
                job.definedAt > mine.definedAt
                || (job.definedAt == mine.definedAt && mine.source.lexicographicallyPrecedes(job.source))
            if isNewer { jobs[name] = job }
        }
    }

    /// Takes in other nodes' counts, and answers all that is known now of the frames they are about. A frame that this
    /// node has not heard of, having just started, is known by what the others say.
    package mutating func acknowledgements(with others: [FrameAcknowledgements]) -> [FrameAcknowledgements] {
        var known: [UInt64: FrameAcknowledgements] = [:]
        for other in others where dropped[other.id] == nil {
            if frames[other.frame]?.id == other.id { frames[other.frame]!.acknowledged.merge(other) }
            known[
                other.id,
                default: frames[other.frame].map(\.acknowledged).flatMap { $0.id == other.id ? $0 : nil } ?? other
            ]
            .merge(other)
        }
        return known.values.sorted { ($0.frame, $0.id) < ($1.frame, $1.id) }
    }

    /// Only the newest are kept: a node that was away for longer than a thousand drops is not waited for.
    private mutating func noteDropped(_ drops: [UInt64: Int64]) {
        dropped.merge(drops) { min($0, $1) }
        guard dropped.count > Self.droppedMax else { return }
        let newest = dropped.sorted { ($0.value, $0.key) > ($1.value, $1.key) }.prefix(Self.droppedMax)
        dropped = Dictionary(uniqueKeysWithValues: newest.map { ($0.key, $0.value) })
    }
}

extension Registry {
    package var value: Value {
        .object([
            "frames": .array(
                frames.sorted { $0.key < $1.key }.map { name, entry in
                    .object([
                        "createdAt": .int(entry.createdAt), "schema": entry.schema, "rows": entry.acknowledged.value,
                        "retention": entry.retention?.value ?? .null,
                    ])
                }),
            "dropped": .array(
                dropped.sorted { $0.key < $1.key }.map { .array([.int(Int64(bitPattern: $0.key)), .int($0.value)]) }),
            "jobs": .array(
                jobs.sorted { $0.key < $1.key }.map { name, job in
                    .object(["name": .string(name), "definedAt": .int(job.definedAt), "source": .bytes(job.source)])
                }),
        ])
    }

    package init?(value: Value) {
        guard case .array(let frames)? = value["frames"], case .array(let dropped)? = value["dropped"],
            case .array(let jobs)? = value["jobs"]
        else { return nil }
        for frame in frames {
            guard case .int(let createdAt)? = frame["createdAt"], let schema = frame["schema"],
                let rows = frame["rows"].flatMap(FrameAcknowledgements.init(value:))
            else { return nil }
            self.frames[rows.frame] = FrameEntry(
                createdAt: createdAt, schema: schema, acknowledged: rows,
                retention: frame["retention"].flatMap(FrameRetention.init(value:)))
        }
        for drop in dropped {
            guard case .array(let parts) = drop, parts.count == 2, case .int(let id) = parts[0],
                case .int(let time) = parts[1]
            else { return nil }
            self.dropped[UInt64(bitPattern: id)] = time
        }
        for job in jobs {
            guard let name = job["name"]?.text, case .int(let definedAt)? = job["definedAt"],
                case .bytes(let source)? = job["source"]
            else { return nil }
            self.jobs[name] = JobEntry(definedAt: definedAt, source: source)
        }
    }
}
