// The indexes that the types of a shard declare, each with the method that gives its objects their numbers.

/// One index of a type on one shard.
final class TypeIndex {
    private static let entriesPerStep = 512
    private static let looksPerStep = 128

    let type: String
    let method: LuaReference
    /// How the method sees its object.
    let view: Int
    private var index: ObjectIndex
    /// What it may take, in bytes.
    private let bytesMax: Int
    /// Objects that were there before the index and are still to be looked at, once they are known.
    private var left: ArraySlice<[UInt8]>?

    init(type: String, method: LuaReference, view: Int, bytesMax: Int, readiness: ObjectIndex.Readiness) {
        self.type = type
        self.method = method
        self.view = view
        self.bytesMax = bytesMax
        index = ObjectIndex(readiness: readiness)
    }

    var readiness: ObjectIndex.Readiness { index.readiness }
    var bytes: Int { index.bytes }

    /// The object has this value now; nil: it does not belong into the index.
    func set(_ name: [UInt8], _ value: IndexedValue?) {
        index.set(name, value)
        guard index.bytes > bytesMax else { return }
        index.giveUp()
        left = nil
    }

    func remove(_ name: [UInt8]) { index.remove(name) }

    func removeAll() {
        index.removeAll()
        left = nil
    }

    /// One step of looking at objects that were there before the index; the last one makes it complete.
    /// - Parameter names: of all objects of the type, asked for once.
    func lookOn(at names: @autoclosure () -> [[UInt8]], look: (_ name: [UInt8]) -> Void) {
        if left == nil { left = names()[...] }
        for _ in 0..<Self.looksPerStep {
            guard index.readiness == .incomplete, let name = left?.popFirst() else { break }
            if !index.contains(name) { look(name) }
        }
        guard left?.isEmpty == true, index.readiness == .incomplete else { return }
        left = nil
        index.complete()
    }

    /// One step towards an answer of an index that is complete; nil when there is more to do.
    /// - Parameter isThere: whether an object of that name still exists.
    func answer(_ work: inout IndexWork, now: UInt32, isThere: (_ name: [UInt8]) -> Bool) -> IndexAnswer? {
        guard index.passTime(to: now, limit: Self.entriesPerStep) else { return nil }
        if case .top(let limit) = work.question { return top(limit, isThere) }
        guard let cursor = work.cursor else { return counted(work.question, isThere) }
        let (names, next) = index.names(from: cursor, limit: Self.entriesPerStep)
        for name in names where !isThere(name) { index.remove(name) }
        work.cursor = next
        return nil
    }

    private func counted(_ question: IndexQuestion, _ isThere: (_ name: [UInt8]) -> Bool) -> IndexAnswer? {
        guard case .above(let least, let limit) = question else { return IndexAnswer(count: index.count) }
        guard let listed = top(limit, isThere) else { return nil }
        return IndexAnswer(
            count: index.count(from: least), entries: Array(listed.entries.prefix { $0.value >= least }))
    }

    /// Nil when some were found to be gone: once more.
    private func top(_ limit: Int, _ isThere: (_ name: [UInt8]) -> Bool) -> IndexAnswer? {
        var answer = IndexAnswer(count: index.count)
        var gone: [[UInt8]] = []
        index.forEachFromGreatest { name, value in
            guard answer.entries.count < limit, gone.count < Self.entriesPerStep else { return false }
            if isThere(name) {
                answer.entries.append(.init(object: name, value: value))
            } else {
                gone.append(name)
            }
            return true
        }
        for name in gone { index.remove(name) }
        return gone.isEmpty ? answer : nil
    }
}

/// All indexes of a shard. One thread at a time.
final class TypeIndexes {
    /// By `type.method`, and by the number of the type.
    private var byName: [String: TypeIndex] = [:]
    private var byType: [UInt32: [TypeIndex]] = [:]
    /// What they take, in bytes.
    private(set) var bytes = 0

    var isEmpty: Bool { byName.isEmpty }
    var names: [String] { byName.keys.sorted() }

    subscript(name: String) -> TypeIndex? { byName[name] }

    func ofType(_ number: UInt32) -> [TypeIndex] { byType[number] ?? [] }

    /// Has these from now on in place of all that the types `without` had.
    func replace(without types: Set<String>, with new: [String: TypeIndex], numbers: (_ type: String) -> UInt32) {
        byName = byName.filter { !types.contains($0.value.type) }.merging(new) { $1 }
        byType = Dictionary(grouping: byName.values) { numbers($0.type) }
        countBytes()
    }

    /// The object is gone for good.
    func remove(_ name: [UInt8], ofType number: UInt32) {
        guard let indexes = byType[number] else { return }
        for index in indexes { index.remove(name) }
        countBytes()
    }

    /// The indexes stay, without any object.
    func removeAllObjects() {
        for index in byName.values { index.removeAll() }
        bytes = 0
    }

    /// To be called after objects got their values.
    func countBytes() {
        bytes = byName.values.reduce(0) { $0 + $1.bytes }
    }
}
