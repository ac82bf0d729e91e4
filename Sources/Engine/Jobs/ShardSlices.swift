// What plain Lua in a map walks over, in slices: a shard's keys, its objects, a frame's rows.

import Dispatch
import Synchronization

enum SliceCursor {
    /// The cursor at this place of the arguments; nil at the beginning.
    static func number(_ arguments: [Value], _ index: Int, of method: String) throws(Failure) -> Int? {
        switch index < arguments.count ? arguments[index] : .null {
        case .null: return nil
        case .int(let number) where number >= 0: return Int(number)
        default: throw Failure(.scriptError, "\(method): a cursor is what the last call gave back")
        }
    }

    /// A number that no call gave back.
    static func foreign(to method: String) -> Failure {
        Failure(
            .scriptError, "shard:\(method): begin without a cursor, and go on with the one that the last call gave back"
        )
    }
}

/// What one map has begun to walk over.
final class ShardCursors {
    /// Names by type, as they were when the walk began.
    var objects: [String: [[UInt8]]] = [:]
    /// Those that were given out by `keys`: any other number is some place in the store, or none.
    var keys: Set<Int> = []
}

extension ShardHandle {
    private static let keysOfSlice = 1_000
    private static let objectsOfSlice = 256

    private func checkTime(_ method: String) throws(Failure) {
        if coverage.isCancelled { throw Failure(.cancelled, "the job was cancelled during shard:\(method)") }
        if shard.environment.hasPassed(deadline) {
            throw Failure(.timeout, "the deadline passed during shard:\(method)")
        }
    }

    /// `shard:keys(prefix, cursor)`: a list of `{key, bytes, ttl}`, and the cursor to go on with. Items that are no client's
    /// are left out.
    func keys(_ arguments: [Value]) throws(Failure) -> LuaResult {
        guard let prefix = (arguments.first ?? .string("")).text else {
            throw Failure(.scriptError, "shard:keys(prefix, cursor) takes what the keys begin with")
        }
        goApart()
        let now = shard.environment.unixSeconds
        let cursor = try SliceCursor.number(arguments, 1, of: "keys")
        guard cursor.map(cursors.keys.contains) ?? true else { throw SliceCursor.foreign(to: "keys") }
        let (items, next) = try shard.items.slice(
            prefix: Array(prefix.utf8), from: cursor ?? 0,
            count: Self.keysOfSlice, now: now
        ) { () throws(Failure) in try checkTime("keys") }
        if let next { cursors.keys.insert(next) }
        let list = items.filter { $0.key.first != 0 }.map { item in
            var pairs: [Value.Pair] = [
                .init(.string("key"), .bytes(item.key)), .init(.string("bytes"), .int(Int64(item.bytes))),
            ]
            if let left = item.expiry.remaining(at: now) { pairs.append(.init(.string("ttl"), .int(left))) }
            return Value.map(pairs)
        }
        return .values([.array(list), next.map { .int(Int64($0)) } ?? .null])
    }

    /// `shard:objects(type, cursor)`: a list of `{name, state, ttl}`, and the cursor to go on with. The objects that there were
    /// when the walk began, each as it is when its slice is read, without those that are gone by then.
    func objects(_ arguments: [Value]) throws(Failure) -> LuaResult {
        guard let type = arguments.first?.text else {
            throw Failure(.scriptError, "shard:objects(type, cursor) takes the name of an object type")
        }
        goApart()
        let cursor = try SliceCursor.number(arguments, 1, of: "objects")
        if cursor == nil {
            let items = shard.items
            cursors.objects[type] = try names(of: type, items)
        }
        guard let names = cursors.objects[type],
            cursor.map({ $0 > 0 && $0 < names.count && $0 % Self.objectsOfSlice == 0 }) ?? true
        else { throw SliceCursor.foreign(to: "objects") }
        try checkTime("objects")
        let slice = names[(cursor ?? 0)...].prefix(Self.objectsOfSlice)
        let items = shard.items
        let states = try underGate { machine throws(Failure) in try machine.states(of: type, slice, items) }
        return .values([.array(states), slice.endIndex < names.count ? .int(Int64(slice.endIndex)) : .null])
    }

    /// The names of all objects of a type, live or shelved. The shelf is walked over without the gate: what is put there
    /// meanwhile is noted, and what is taken from it is among the live ones in the end.
    private func names(of type: String, _ items: ItemStore) throws(Failure) -> [[UInt8]] {
        let mark = try underGate { machine throws(Failure) in try machine.beginWalk(over: type) }
        var names: Set<[UInt8]> = []
        let prefix = ObjectKey(type: type, name: []).shelfKey
        let result = Result { () throws(Failure) in
            var cursor: Int? = 0
            while let from = cursor {
                let (found, next) = try items.slice(
                    prefix: prefix, from: from, count: 4_096, now: shard.environment.unixSeconds
                ) {
                    () throws(Failure) in try checkTime("objects")
                }
                for item in found { names.insert(Array(item.key.dropFirst(prefix.count))) }
                cursor = next
            }
        }
        // Never refused: what is shelved would be noted for ever.
        let living = try underGate(mayExceed: true) { machine throws(Failure) in
            machine.endWalk(over: type, since: mark)
        }
        try result.get()
        names.formUnion(living)
        return names.sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// Waits for the script gate. Another thread of the pool goes on meanwhile, as it may be the one that has to open it.
    private func underGate<R: Sendable>(
        mayExceed: Bool = false, _ body: @escaping @Sendable (ObjectMachine) throws(Failure) -> R
    ) throws(Failure) -> R {
        let isDone = DispatchSemaphore(value: 0)
        let box = InspectionAnswer<R>(isDone)
        shard.objects.inspect(mayExceed: mayExceed) { entered in
            box.deliver(
                Result { () throws(Failure) in
                    try body(try entered.get())
                })
        }
        let wait = { isDone.wait() }
        if let pool { pool.waiting(wait) } else { wait() }
        return try box.take().get()
    }
}

/// Where a gate's answer is left for the thread that waits for it.
private final class InspectionAnswer<R: Sendable>: Sendable {
    private let answer = Mutex<Result<R, Failure>?>(nil)
    private let isDone: DispatchSemaphore

    init(_ isDone: DispatchSemaphore) { self.isDone = isDone }

    func deliver(_ result: Result<R, Failure>) {
        answer.withLock { $0 = result }
        isDone.signal()
    }

    func take() -> Result<R, Failure> {
        guard let result = answer.withLock({ $0 }) else { preconditionFailure("delivered before the signal") }
        return result
    }
}

/// A frame's rows that pass a query's filters, a chunk at a time.
final class RowSlices {
    private static let rowsOfSlice = 4_096

    private let plan: CompiledPlan
    private let snapshot: FrameSnapshot
    private let shard: ShardHandle
    /// Of columns.
    private let names: [Value]
    private var nextPiece = 0
    /// Of the piece that was read last, from `nextRow` on.
    private var found: Partial?
    private var nextRow = 0
    /// Slices so far: the cursor.
    private(set) var position = 0

    init(_ plan: Plan, _ shard: ShardHandle) throws(Failure) {
        shard.goApart()
        let snapshot = shard.coverage.look(at: try shard.require(frame: plan.frame), shard: shard.index)
        self.plan = try CompiledPlan(plan, schema: snapshot.schema)
        self.shard = shard
        if case .rows(let columns, _) = plan.output { names = columns.map { .string($0) } } else { names = [] }
        if shard.coverage.explains {
            shard.coverage.note(explanation: PlanExplanation.describe(self.plan, on: snapshot))
            self.snapshot = FrameSnapshot(schema: snapshot.schema, pieces: [], cache: snapshot.cache)
        } else {
            self.snapshot = snapshot
        }
    }

    /// What the rows that are yet to come have leased.
    var leasedBytes: Int { found?.lease?.bytes ?? 0 }

    private var rowsLeft: Int { (found?.rows.count ?? 0) - nextRow }

    /// Maps by column, and the cursor of the next slice.
    func next(_ pace: WorkPace) throws(Failure) -> (rows: LeasedValue, next: Int?) {
        try readOn(pace.share)
        let range = nextRow..<nextRow + min(rowsLeft, Self.rowsOfSlice)
        let lease = pace.share.emptyLease(for: "a slice of rows")
        var rows: [Value] = []
        rows.reserveCapacity(range.count)
        for row in found?.rows[range] ?? [] {
            try lease.take(Partial.memoryBytes(of: row) * 2)
            try pace.spend(row.count * 4)
            rows.append(.map(zip(names, row).map { Value.Pair($0, $1.value) }))
        }
        let before = (found, nextRow)
        nextRow = range.upperBound
        do throws(Failure) { try readOn(pace.share) } catch {
            // Whoever has memory for it may ask again.
            (found, nextRow) = before
            throw error
        }
        position += 1
        return (LeasedValue(.array(rows), lease), rowsLeft == 0 ? nil : position)
    }

    private func readOn(_ share: ScriptShare) throws(Failure) {
        while rowsLeft == 0, nextPiece < snapshot.pieces.count { try readPiece(share) }
    }

    private func readPiece(_ share: ScriptShare) throws(Failure) {
        let piece = FrameSnapshot(schema: snapshot.schema, pieces: [snapshot.pieces[nextPiece]], cache: snapshot.cache)
        let (partial, scanned) = try PlanExecutor.execute(
            plan, on: piece, control: shard.control(helpers: nil, share))
        shard.coverage.add(scanned)
        (found, nextRow) = (partial, 0)
        nextPiece += 1
    }
}
