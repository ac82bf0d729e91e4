// What a node knows of the whole cluster's data: its frames, the rows acknowledged on each node, its jobs.
// Pure: two registries merge into the same one in any order, any number of times, and no clock decides anything.

package struct FrameDefinition: Sendable, Equatable {
    /// As it travels; this target can't read it.
    package var schema: [UInt8]
    package var retention: FrameRetention?

    package init(schema: [UInt8], retention: FrameRetention? = nil) {
        self.schema = schema
        self.retention = retention
    }
}

package struct DefinedJob: Sendable, Equatable {
    package var source: [UInt8]

    package init(source: [UInt8]) { self.source = source }
}

package struct Registry: Sendable, Equatable {
    /// One frame, with all that is known of it.
    package struct FrameEntry: Sendable, Equatable {
        package var id: DefinitionID
        package var name: String
        package var schema: [UInt8]
        package var acknowledged: FrameAcknowledgements
        package var retention: FrameRetention?
    }

    /// What there is under a name.
    package enum Named<Found: Sendable>: Sendable {
        case none
        case one(Found)
        /// Several, made by nodes that did not know of each other's; sorted by id.
        case conflict([Found])
    }

    /// The run of the node that knows this: it names what is defined here.
    package let run: UInt64
    package private(set) var frames = DefinitionSet<FrameDefinition>()
    package private(set) var jobs = DefinitionSet<DefinedJob>()
    private var acknowledged: [DefinitionID: FrameAcknowledgements] = [:]
    /// Every definition that this node ever heard of; what is in here and not there was dropped or replaced.
    package private(set) var seen = SeenDefinitions()
    private var changes = RegistryChanges()

    package init(run: UInt64) { self.run = run }

    /// Whose it is, and in which order it learned of things, makes no difference.
    package static func == (a: Self, b: Self) -> Bool {
        a.frames == b.frames && a.jobs == b.jobs && a.acknowledged == b.acknowledged && a.seen == b.seen
    }

    /// Grows with every change.
    package var version: UInt64 { changes.version }

    private mutating func nextID() -> DefinitionID {
        let id = DefinitionID(run: run, number: seen.last(ofRun: run) + 1)
        seen.insert(id)
        return id
    }

    // MARK: Frames

    package func frame(_ id: DefinitionID) -> FrameEntry? { frames[id].map(entry) }

    package func frame(named name: String) -> Named<FrameEntry> {
        Self.named(frames.ids(named: name).compactMap(frame))
    }

    private func entry(_ entry: DefinitionSet<FrameDefinition>.Entry) -> FrameEntry {
        FrameEntry(
            id: entry.id, name: entry.name, schema: entry.definition.schema,
            acknowledged: acknowledged[entry.id] ?? FrameAcknowledgements(frame: entry.name, id: entry.id),
            retention: entry.definition.retention)
    }

    private static func named<Found>(_ found: [Found]) -> Named<Found> {
        switch found.count {
        case 0: .none
        case 1: .one(found[0])
        default: .conflict(found)
        }
    }

    /// Nil where there is a frame of this name already.
    package mutating func createFrame(_ name: String, schema: [UInt8]) -> DefinitionID? {
        guard frames.ids(named: name).isEmpty else { return nil }
        let id = nextID()
        frames.insert(.init(name: name, id: id, definition: FrameDefinition(schema: schema)))
        changes.note(.frame(id))
        return id
    }

    @discardableResult
    package mutating func dropFrame(_ id: DefinitionID) -> FrameEntry? {
        guard let dropped = frame(id) else { return nil }
        forget(frame: id)
        changes.note(.gone(id.run))
        return dropped
    }

    private mutating func forget(frame id: DefinitionID) {
        frames.remove(id)
        acknowledged[id] = nil
        changes.remove([.frame(id), .counts(id)])
    }

    /// Whether it was there once and is not any more.
    package func isDropped(frame id: DefinitionID) -> Bool { frames[id] == nil && seen.contains(id) }

    /// `rows`: all that ever were there; `retired`: those of them that were dropped for their age.
    package mutating func acknowledge(
        _ rows: Int, retired: Int = 0, frame id: DefinitionID, node: String, incarnation: UInt64
    ) {
        guard var counts = frame(id)?.acknowledged else { return }
        let before = counts
        counts.rows[node, default: [:]][incarnation] = rows
        if retired > 0 { counts.retired[node, default: [:]][incarnation] = retired }
        guard counts != before else { return }
        acknowledged[id] = counts
        changes.note(.counts(id))
    }

    /// A frame that does not exist keeps nothing.
    package mutating func retain(_ id: DefinitionID, seconds: Int64, column: String) {
        let revision = frames[id]?.definition.retention?.revision ?? 0
        let retention = FrameRetention(
            seconds: seconds, column: column, revision: revision == .max ? .max : revision + 1, run: run)
        frames.update(id) { $0.retention = retention }
        if frames[id] != nil { changes.note(.frame(id)) }
    }

    // MARK: Jobs

    /// Replaces all definitions of the name that this node knows of.
    package mutating func defineJob(_ name: String, source: [UInt8]) {
        _ = dropJob(name)
        let id = nextID()
        jobs.insert(.init(name: name, id: id, definition: DefinedJob(source: source)))
        changes.note(.job(id))
    }

    /// Drops all definitions of the name that this node knows of. False when there is none.
    package mutating func dropJob(_ name: String) -> Bool {
        let ids = jobs.ids(named: name)
        for id in ids {
            jobs.remove(id)
            changes.remove([.job(id)])
            changes.note(.gone(id.run))
        }
        return !ids.isEmpty
    }

    /// Definitions that say the same are no conflict.
    package func job(named name: String) -> Named<DefinitionSet<DefinedJob>.Entry> {
        let found = jobs.ids(named: name).compactMap { jobs[$0] }
        guard let first = found.first, found.allSatisfy({ $0.definition == first.definition }) else {
            return Self.named(found)
        }
        return .one(first)
    }

    /// How many jobs there are, and their bytes of source, leaving one out.
    package func jobTotals(without name: String) -> (count: Int, bytes: Int) {
        jobs.all.reduce((0, 0)) {
            $1.name == name ? $0 : ($0.0 + 1, $0.1.clampedAdding($1.definition.source.count))
        }
    }

    // MARK: Conflicts

    /// Names of frames, and of jobs, with several definitions; sorted.
    package var conflicts: (frames: [String], jobs: [String]) {
        // As many names as definitions are no conflict: the usual case, found out without looking at each.
        (
            frames.hasSeveralUnderOneName ? frames.names.filter { frames.ids(named: $0).count > 1 } : [],
            !jobs.hasSeveralUnderOneName
                ? []
                : jobs.names.filter { if case .conflict = job(named: $0) { true } else { false } }
        )
    }

    // MARK: News

    /// All that is known.
    package var everything: RegistryNews {
        RegistryNews(
            frames: frames.all.sorted { $0.id < $1.id }, jobs: jobs.all.sorted { $0.id < $1.id },
            acknowledged: acknowledged.values.sorted { $0.id < $1.id }, seen: seen)
    }

    /// What changed since this registry's version was that, but what `peer` itself has told; since 0, everything.
    package func news(since version: UInt64, to peer: String? = nil) -> RegistryNews {
        guard version > 0 else { return everything }
        var news = RegistryNews()
        var runs: Set<UInt64> = []
        for subject in changes.since(version, besides: peer) {
            switch subject {
            case .frame(let id): if let entry = frames[id] { news.frames.append(entry) }
            case .job(let id): if let entry = jobs[id] { news.jobs.append(entry) }
            case .counts(let id): if let counts = acknowledged[id] { news.acknowledged.append(counts) }
            case .gone(let run): runs.insert(run)
            }
        }
        news.seen = SeenDefinitions(news.frames.map(\.id) + news.jobs.map(\.id))
        if !runs.isEmpty {
            let living = SeenDefinitions(frames.ids).union(SeenDefinitions(jobs.ids))
            for run in runs { news.seen.formUnion(seen.restricted(toRun: run).subtracting(living)) }
        }
        return news
    }

    /// Takes in what another node knows, to the same effect in any order and any number of times. `peer`: the one that says so,
    /// to whom it need not be said again.
    package mutating func merge(_ news: RegistryNews, from peer: String? = nil) {
        if !news.seen.isEmpty { mergeDefinitions(news, from: peer) }
        for counts in news.acknowledged { merge(counts, from: peer) }
    }

    private mutating func mergeDefinitions(_ news: RegistryNews, from peer: String?) {
        let unheard = news.seen.subtracting(seen)
        let frames = frames.merge(news.frames, seenHere: seen, seenThere: news.seen) { mine, theirs in
            guard let retention = theirs.retention, mine.retention.map({ retention.isNewer(than: $0) }) ?? true else {
                return false
            }
            mine.retention = retention
            return true
        }
        let jobs = jobs.merge(news.jobs, seenHere: seen, seenThere: news.seen) { _, _ in false }
        seen.formUnion(news.seen)
        for id in frames.removed { forget(frame: id) }
        changes.remove(jobs.removed.map { .job($0) })
        // What was dropped that this node knew, and what it never knew.
        let gone = unheard.subtracting(SeenDefinitions(frames.added + jobs.added))
        for run in Set(gone.ranges.keys).union((frames.removed + jobs.removed).map(\.run)) { changes.note(.gone(run)) }
        for id in frames.added + frames.changed { changes.note(.frame(id), from: peer) }
        for id in jobs.added { changes.note(.job(id), from: peer) }
    }

    private mutating func merge(_ counts: FrameAcknowledgements, from peer: String?) {
        guard var mine = frame(counts.id)?.acknowledged else { return }
        let before = mine
        mine.merge(counts)
        guard mine != before else { return }
        acknowledged[counts.id] = mine
        changes.note(.counts(counts.id), from: mine == counts ? peer : nil)
    }

    /// Takes in other nodes' counts, and answers all that is known now of the frames they are about. A frame that this
    /// node has not heard of, having just started, is known by what the others say.
    package mutating func acknowledgements(with others: [FrameAcknowledgements]) -> [FrameAcknowledgements] {
        var known: [DefinitionID: FrameAcknowledgements] = [:]
        for other in others where !isDropped(frame: other.id) {
            merge(other, from: nil)
            known[other.id, default: frame(other.id)?.acknowledged ?? other].merge(other)
        }
        return known.values.sorted { ($0.frame, $0.id) < ($1.frame, $1.id) }
    }

    // MARK: The same on both sides?

    /// Equal where two nodes know the same definitions and drops; of counts it says nothing. Cost: that of looking at each.
    package var digest: UInt64 {
        var sum: UInt64 = 0
        for entry in frames.all {
            let retention = entry.definition.retention
            sum &+= Self.mix(entry.id.run, entry.id.number, retention?.revision ?? 0, retention?.run ?? 0)
        }
        for id in jobs.ids { sum &+= Self.mix(id.run, id.number, 1, 0) }
        for (run, ranges) in seen.ranges {
            for range in ranges { sum &+= Self.mix(run, range.lowerBound, range.upperBound, 2) }
        }
        return sum
    }

    /// No protection against anybody who wants two to be equal: peers know the secret.
    private static func mix(_ words: UInt64...) -> UInt64 {
        words.reduce(0x9E37_79B9_7F4A_7C15) { hash, word in
            var mixed = (hash ^ word) &* 0xBF58_476D_1CE4_E5B9
            mixed ^= mixed >> 29
            return mixed &* 0x94D0_49BB_1331_11EB
        }
    }
}
