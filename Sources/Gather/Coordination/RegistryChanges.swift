// What changed in a registry, and when by its own count of changes: so that each peer is told what it has not been told.

/// What one node says to another of what it knows: all of it, or what changed.
package struct RegistryNews: Sendable, Equatable {
    package var frames: [DefinitionSet<FrameDefinition>.Entry] = []
    package var jobs: [DefinitionSet<DefinedJob>.Entry] = []
    package var acknowledged: [FrameAcknowledgements] = []
    /// What is in here and not among the definitions was dropped or replaced.
    package var seen = SeenDefinitions()

    package init(
        frames: [DefinitionSet<FrameDefinition>.Entry] = [], jobs: [DefinitionSet<DefinedJob>.Entry] = [],
        acknowledged: [FrameAcknowledgements] = [], seen: SeenDefinitions = SeenDefinitions()
    ) {
        self.frames = frames
        self.jobs = jobs
        self.acknowledged = acknowledged
        self.seen = seen
    }

    package var isEmpty: Bool { frames.isEmpty && jobs.isEmpty && acknowledged.isEmpty && seen.isEmpty }
}

struct RegistryChanges: Sendable {
    enum Subject: Sendable, Hashable {
        case frame(DefinitionID)
        case job(DefinitionID)
        /// The rows acknowledged of a frame.
        case counts(DefinitionID)
        /// Definitions of a run of a node that are there no more.
        case gone(UInt64)
    }

    private struct Change: Sendable {
        var version: UInt64
        /// The peer that has told exactly this.
        var source: String?
    }

    private(set) var version: UInt64 = 0
    private var latest: [Subject: Change] = [:]

    mutating func note(_ subject: Subject, from source: String? = nil) {
        version += 1
        latest[subject] = Change(version: version, source: source)
    }

    mutating func remove(_ subjects: [Subject]) { for subject in subjects { latest[subject] = nil } }

    /// In the order in which they changed. Cost: that of looking at all, unless nothing did.
    func since(_ version: UInt64, besides peer: String?) -> [Subject] {
        guard version < self.version else { return [] }
        let changed = latest.filter { $0.value.version > version && (peer == nil || $0.value.source != peer) }
        return changed.sorted { $0.value.version < $1.value.version }.map(\.key)
    }
}
