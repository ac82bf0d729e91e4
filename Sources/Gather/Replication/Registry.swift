// What every node knows of the whole cluster's data: its frames, the rows acknowledged on each node, its jobs.
// Pure: two registries merge into the same one in any order, any number of times.

package import Engine

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
        package var source: [UInt8]
    }

    package private(set) var frames: [String: FrameEntry] = [:]
    package private(set) var jobs: [String: JobEntry] = [:]
    /// Dropped frames, by id, and jobs, so that a node that missed the drop does not bring them back.
    private var droppedFrames = Tombstones<UInt64>()
    private var droppedJobs = Tombstones<String>()

    package init() {}

    /// Registers a frame; a name that exists keeps what it has.
    package mutating func createFrame(_ name: String, id: UInt64, schema: Value, now: Int64) {
        guard frames[name] == nil else { return }
        frames[name] = FrameEntry(
            createdAt: max(now, droppedFrames.horizon.clampedAdding(1)), schema: schema,
            acknowledged: FrameAcknowledgements(frame: name, id: id))
    }

    package mutating func dropFrame(_ name: String, now: Int64) {
        guard let entry = frames.removeValue(forKey: name) else { return }
        droppedFrames.note(entry.id, at: max(now, entry.createdAt.clampedAdding(1)))
    }

    package func isDropped(_ id: UInt64) -> Bool { droppedFrames.times[id] != nil }

    /// Whether a frame that was there once, of this name and id, is not any more.
    package func isGone(_ name: String, id: UInt64) -> Bool {
        frames[name] == nil || isDropped(id)
    }

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
        let setAt = max(now, last.clampedAdding(1))
        frames[name]?.retention = FrameRetention(seconds: seconds, column: column, setAt: setAt)
    }

    package mutating func defineJob(_ name: String, source: [UInt8], now: Int64) {
        // After everything that is known of the name, whatever this node's clock says.
        let known = max(jobs[name]?.definedAt ?? 0, droppedJobs.times[name] ?? 0, droppedJobs.horizon)
        jobs[name] = JobEntry(definedAt: max(now, known.clampedAdding(1)), source: source)
    }

    /// False when there is none.
    package mutating func dropJob(_ name: String, now: Int64) -> Bool {
        guard let job = jobs.removeValue(forKey: name) else { return false }
        droppedJobs.note(name, at: max(now, job.definedAt.clampedAdding(1)))
        return true
    }

    package func jobSource(_ name: String) -> [UInt8]? { jobs[name]?.source }

    /// The names of the jobs that can be run, sorted.
    package var definedJobs: [String] { jobs.keys.sorted() }

    /// How many jobs there are, and their bytes of source, leaving one out.
    package func jobTotals(without name: String) -> (count: Int, bytes: Int) {
        jobs.reduce((0, 0)) { $1.key == name ? $0 : ($0.0 + 1, $0.1 + $1.value.source.count) }
    }

    /// Takes in what another node knows, to the same effect in any order and any number of times. What only one of the two knows
    /// is new to the other one, unless that has forgotten, by then, things that were dropped later.
    package mutating func merge(_ other: Registry) {
        let (mine, theirs, before) = (droppedFrames, other.droppedFrames, frames)
        droppedFrames.merge(theirs)
        frames = frames.filter { name, entry in
            droppedFrames.times[entry.id] == nil
                && (other.frames[name]?.id == entry.id || !theirs.mayHaveForgotten(entry.createdAt))
        }
        for (name, entry) in other.frames where droppedFrames.times[entry.id] == nil {
            guard before[name]?.id == entry.id || !mine.mayHaveForgotten(entry.createdAt) else { continue }
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
        mergeJobs(other)
    }

    private mutating func mergeJobs(_ other: Registry) {
        let (mine, theirs, before) = (droppedJobs, other.droppedJobs, jobs)
        droppedJobs.merge(theirs)
        jobs = jobs.filter { name, job in
            !droppedJobs.isAfter(job.definedAt, name)
                && (other.jobs[name] != nil || !theirs.mayHaveForgotten(job.definedAt))
        }
        for (name, job) in other.jobs where !droppedJobs.isAfter(job.definedAt, name) {
            guard before[name] != nil || !mine.mayHaveForgotten(job.definedAt) else { continue }
            guard let known = jobs[name] else {
                jobs[name] = job
                continue
            }
            let isNewer =
                job.definedAt > known.definedAt
                || (job.definedAt == known.definedAt && known.source.lexicographicallyPrecedes(job.source))
            if isNewer { jobs[name] = job }
        }
    }

    /// Takes in other nodes' counts, and answers all that is known now of the frames they are about. A frame that this
    /// node has not heard of, having just started, is known by what the others say.
    package mutating func acknowledgements(with others: [FrameAcknowledgements]) -> [FrameAcknowledgements] {
        var known: [UInt64: FrameAcknowledgements] = [:]
        for other in others where droppedFrames.times[other.id] == nil {
            if frames[other.frame]?.id == other.id { frames[other.frame]!.acknowledged.merge(other) }
            known[
                other.id,
                default: frames[other.frame].map(\.acknowledged).flatMap { $0.id == other.id ? $0 : nil } ?? other
            ]
            .merge(other)
        }
        return known.values.sorted { ($0.frame, $0.id) < ($1.frame, $1.id) }
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
            "dropped": droppedFrames.value { .int(Int64(bitPattern: $0)) },
            "droppedJobs": droppedJobs.value { .string($0) },
            "jobs": .array(
                jobs.sorted { $0.key < $1.key }.map { name, job in
                    .object(["name": .string(name), "definedAt": .int(job.definedAt), "source": .bytes(job.source)])
                }),
        ])
    }

    package init?(value: Value) {
        guard case .array(let frames)? = value["frames"], case .array(let jobs)? = value["jobs"],
            let droppedFrames = value["dropped"].flatMap({ dropped in
                Tombstones(value: dropped) { (key: Value) -> UInt64? in
                    if case .int(let id) = key { UInt64(bitPattern: id) } else { nil }
                }
            }),
            let droppedJobs = value["droppedJobs"].flatMap({ Tombstones(value: $0) { $0.text } })
        else { return nil }
        self.droppedFrames = droppedFrames
        self.droppedJobs = droppedJobs
        for frame in frames {
            guard case .int(let createdAt)? = frame["createdAt"], let schema = frame["schema"],
                let rows = frame["rows"].flatMap(FrameAcknowledgements.init(value:))
            else { return nil }
            self.frames[rows.frame] = FrameEntry(
                createdAt: createdAt, schema: schema, acknowledged: rows,
                retention: frame["retention"].flatMap(FrameRetention.init(value:)))
        }
        for job in jobs {
            guard let name = job["name"]?.text, case .int(let definedAt)? = job["definedAt"],
                case .bytes(let source)? = job["source"]
            else { return nil }
            self.jobs[name] = JobEntry(definedAt: definedAt, source: source)
        }
    }
}
