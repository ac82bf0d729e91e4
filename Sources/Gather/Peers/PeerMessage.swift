// What nodes say to each other, and a command-line client to a node: requests, replies, and what travels with them.

package import Coordination
package import Engine

/// One request on a peer connection. Its id, unique on the connection, is beside it in the frame: replies name it, and
/// a late one finds nobody waiting.
package enum PeerRequest: Sendable, Equatable {
    /// A command on a plain key that the receiver owns.
    case item(ItemCommand, key: [UInt8])
    /// A method of an object that the receiver owns.
    case call(VirtualKey, data: [UInt8]?, deadlineMilliseconds: UInt32)
    /// `get key` as the receiver itself would answer it (getFromServer, getInParallel). `byJob`: a job asks, which may not
    /// start another one.
    case fetch(key: [UInt8], deadlineMilliseconds: UInt32, byJob: Bool)
    /// The map of a job over all of the receiver's shards.
    case map(MapRequest)
    /// A block of rows for a load that is under way.
    case stage(StageRequest)
    /// Everything rare: the verb says what, the argument's shape is the verb's.
    case control(verb: ControlVerb, argument: Value)

    /// A client's command or a method's call that another node has the key of.
    var isForwarded: Bool {
        switch self {
        case .item, .call: true
        case .fetch, .map, .stage, .control: false
        }
    }
}

package enum ControlVerb: UInt8, Sendable, CaseIterable {
    /// → the nodes' names and addresses, and which one answers.
    case topology = 1
    /// registry state → the receiver's registry state.
    case synchronize
    /// {name, schema} → {created}
    case createFrame
    /// {name} → this node's rows, chunks, bytes of a frame.
    case frameStatistics
    /// {load} → rows made visible, on all nodes that took any.
    case commitLoad
    /// {load} → nothing; its rows are gone.
    case abortLoad
    /// {script, name, params, require, timeout} → the envelope.
    case runJob
    /// {name} → rows dropped, everywhere.
    case dropFrame
    /// {key, value}: stores a plain key, or calls a method with the value as its last argument.
    case store
    /// {delay}: all items and objects stored up to that many seconds from now are gone.
    case flush
    /// → the jobs that this node coordinates, under way or just over.
    case listJobs
    /// {query} → {rows, expected}: how far this node's map is; nothing when it runs none.
    case jobProgress
    /// {query} → whether there was anything to cancel.
    case cancelJob
    /// As runJob → what it would do.
    case explainJob
    /// → what `cluster status` shows: this node, and what it knows of the others.
    case status
    /// {load, frame} → from a client: {nodes, leftOut}, and this node coordinates; from a node: {incarnation}, and this one has a
    /// part.
    case beginLoad
    /// {load, others} → {incarnation, rows, count}: the rows are ready, whatever is decided.
    case prepareLoad
    /// {load, commit, frame, id, counts} → {incarnation}
    case decideLoad
    /// {load, gone, milliseconds} → {incarnation, state}: what became of it, asked by who is in doubt.
    case askLoad
    /// {about, query} → what another node shows of this one: see `NodeReports.report`.
    case report
    /// → what `top` shows of this node: `{figures, runs, maps}`.
    case activity
    /// {name} → {name, about, params, source} of a defined job.
    case describeJob
    /// {key} → where it lives: see `ClusterNode.whereabouts`.
    case whereabouts
}

/// What a node needs to run its part of a job. Source and parameters travel with it, so the code is the same everywhere.
package struct MapRequest: Sendable, Equatable {
    package var query: UInt64
    package var name: String
    package var source: [UInt8]
    package var parameters: Value
    /// What is left for the map, the coordinator's reserve already taken off.
    package var deadlineMilliseconds: UInt32
    /// Unix milliseconds on the coordinator's clock: every node computes with the same now.
    package var now: Int64
    /// Describe plans instead of executing them.
    package var explains: Bool
    /// Of a second round: what `topk_exact` is to count (see `TopCandidates`); empty in a first one.
    package var candidates: [UInt8] = []
    /// Loads that another node has made visible: they are visible before the map begins, where they are ready.
    package var include: Set<UInt64> = []
    /// What is known of all nodes' rows in these loads' frames: known to who shows them before it does.
    package var counts: [FrameAcknowledgements] = []

    package init(
        query: UInt64, name: String, source: [UInt8], parameters: Value, deadlineMilliseconds: UInt32, now: Int64,
        explains: Bool = false
    ) {
        self.explains = explains
        self.query = query
        self.name = name
        self.source = source
        self.parameters = parameters
        self.deadlineMilliseconds = deadlineMilliseconds
        self.now = now
    }
}

/// Whole rows as text, with the line number of the first for messages.
package struct StageRequest: Sendable, Equatable {
    package var load: UInt64
    package var frame: String
    package var format: RowFormat
    /// CSV: the file's columns, in its order. Empty for NDJSON, whose rows name theirs.
    package var header: [String]
    package var firstLine: UInt64
    package var skipsBadRows: Bool
    package var bytes: [UInt8]

    package init(
        load: UInt64, frame: String, format: RowFormat, header: [String] = [], firstLine: UInt64, skipsBadRows: Bool,
        bytes: [UInt8]
    ) {
        self.load = load
        self.frame = frame
        self.format = format
        self.header = header
        self.firstLine = firstLine
        self.skipsBadRows = skipsBadRows
        self.bytes = bytes
    }
}

package enum PeerReply: Sendable, Equatable {
    case item(ItemOutcome)
    case value(Value)
    /// A value that was made MessagePack where there was time for it. It arrives as `value`.
    case packed([UInt8])
    case failure(Failure)
    case mapped(MapAnswer)
    /// A map that failed, and what its scripts had said until then.
    case mapFailed(Failure, LoggedLines)

    /// Of a message with answers to some commands of a batch.
    static let answersKind: UInt8 = 105

    /// For whoever asked and got a reply of another kind than its request has.
    package static let notUnderstood = Failure(.scriptVersion, "an answer that is not understood")
}

/// A node's part of a job's answer: its shards' partials merged, and what they cost.
package struct MapAnswer: Sendable, Equatable {
    /// Names this run of the node's process: an empty node that came back has another one.
    package var incarnation: UInt64
    package var shards: Int
    /// The merged partial, encoded (see `JobPartial`); empty when no shard of the node holds a part of the frame.
    package var partial: [UInt8]
    package var rowsScanned: Int
    package var chunksScanned: Int
    package var chunksPruned: Int
    package var chunksCached: Int
    /// Rows that the frames ever had here, those that are gone for their age too.
    package var rowsEver = 0
    /// By frame, what the answer has of the loads that may be at another point elsewhere.
    package var loads: [String: FrameLoads.Seen] = [:]
    /// Of the partial, and of what the node's scripts have seen on the way to it.
    package var inexactness = Inexactness()
    package var milliseconds: Double
    /// What the node's scripts have said.
    package var log = LoggedLines()
    /// The frames that the job looked at, and the rows that this node knows every node to have acknowledged.
    package var frames: [FrameAcknowledgements]

    package init(
        incarnation: UInt64, shards: Int, partial: [UInt8] = [], rowsScanned: Int = 0, chunksScanned: Int = 0,
        chunksPruned: Int = 0, chunksCached: Int = 0, milliseconds: Double = 0, frames: [FrameAcknowledgements] = []
    ) {
        self.incarnation = incarnation
        self.shards = shards
        self.partial = partial
        self.rowsScanned = rowsScanned
        self.chunksScanned = chunksScanned
        self.chunksPruned = chunksPruned
        self.chunksCached = chunksCached
        self.milliseconds = milliseconds
        self.frames = frames
    }
}
