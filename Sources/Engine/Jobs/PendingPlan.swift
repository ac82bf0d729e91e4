// The plan that a map has asked for and whose answer nobody has looked at yet: if that is all, one scan does for a whole node.

/// Run on one shard's part of the frame once the script asks for anything that its answer says; on the parts of all shards at
/// once, where the map returns it as it is.
final class PendingPlan {
    private let plan: CompiledPlan
    private let shard: ShardHandle
    /// Of the script that asks.
    private let share: ScriptShare
    /// Where in it that is, as messages begin.
    private let position: String

    init(_ plan: CompiledPlan, _ shard: ShardHandle, _ share: ScriptShare, position: String) {
        self.plan = plan
        self.shard = shard
        self.share = share
        self.position = position
    }

    /// No shard was looked at: the map would do the same on each.
    var standsForAll: Bool { shard.standsForAll }

    /// The shard's own. From now on the map is about this one shard.
    func partial() throws(Failure) -> Partial {
        shard.goApart()
        return try run { () throws(Failure) in try shard.scanPart(plan, share) }
    }

    func partialOfAllShards() throws(Failure) -> Partial {
        try run { () throws(Failure) in try shard.scanAllParts(plan, share) }
    }

    /// A script is told where it went wrong.
    private func run(_ scan: () throws(Failure) -> Partial) throws(Failure) -> Partial {
        do throws(Failure) { return try scan() } catch {
            throw error.saying(position + error.message)
        }
    }
}

/// A try of a script's `reduce(a, b)` with two stand-ins: whether it does `return a:merge(b)`, and nothing else.
final class MergeTrial {
    enum Role { case term, sum }

    private(set) var isOdd = false
    private var isMerged = false

    /// Merges two terms.
    func merge() -> Bool {
        if isMerged { isOdd = true }
        isMerged = true
        return !isOdd
    }

    /// Something else was asked of a stand-in.
    func refuse() -> Failure {
        isOdd = true
        return Failure(.scriptError, "there are no rows yet")
    }
}
