// Objects by number, found without counting references: what hot paths look their shard's parts up in.
//
// Unsafe: keeps unmanaged references beside the managed ones.

/// Good for as long as one copy of it lives. Cheap to copy.
struct UncountedTable<Object: AnyObject & Sendable>: @unchecked Sendable {
    private final class Storage: @unchecked Sendable {
        let objects: [Object]
        let uncounted: UnsafeMutablePointer<Unmanaged<Object>>

        init(_ objects: [Object]) {
            self.objects = objects
            uncounted = .allocate(capacity: objects.count)
            for at in objects.indices { (uncounted + at).initialize(to: .passUnretained(objects[at])) }
        }

        deinit { uncounted.deallocate() }
    }

    private let storage: Storage
    private let uncounted: UnsafeMutablePointer<Unmanaged<Object>>
    let count: Int

    init(_ objects: [Object]) {
        storage = Storage(objects)
        uncounted = storage.uncounted
        count = objects.count
    }

    var all: [Object] { storage.objects }

    /// Runs `body` on the object of that number, which must be below `count`.
    @inline(__always)
    func with<Result>(_ number: Int, _ body: (Object) -> Result) -> Result {
        uncounted[number]._withUnsafeGuaranteedRef(body)
    }
}
