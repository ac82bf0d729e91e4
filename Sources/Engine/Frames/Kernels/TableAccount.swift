// What the hash tables of a scan's thread hold, on its lease, and the keys of groups one after the other.

/// Looked at once a block.
struct TableAccount {
    private let lease: MemoryLease
    private var noted = 0
    /// What one block adds to small tables is looked at after it: so that many small scans lease no more than they use.
    private static let unlookedBytes = 1 << 20

    init(_ lease: MemoryLease) { self.lease = lease }

    /// Before a block that may let them grow to so many bytes.
    mutating func expect(_ bytes: Int) throws(Failure) {
        if bytes - noted > Self.unlookedBytes { try note(bytes) }
    }

    /// What they hold now.
    mutating func note(_ bytes: Int) throws(Failure) {
        guard bytes != noted else { return }
        try lease.take(bytes - noted)
        noted = bytes
    }
}

/// Byte strings by number.
struct KeyList {
    private var bytes: [UInt8] = []
    /// Where each one ends.
    private var ends: [Int] = []

    var count: Int { ends.count }

    var heldBytes: Int { bytes.capacity + ends.capacity * 8 }

    /// At most, with so many of the present ones' length more; the old beside the new.
    func heldBytes(adding more: Int) -> Int {
        let room = ends.count + more <= ends.capacity ? 0 : max(ends.count + more, 2 * ends.capacity) * 8
        let length = ends.isEmpty ? 16 : bytes.count / ends.count + 1
        let byteCount = bytes.count + more * length
        return heldBytes + room + (byteCount <= bytes.capacity ? 0 : max(byteCount, 2 * bytes.capacity))
    }

    mutating func append(_ key: UnsafeBufferPointer<UInt8>) {
        bytes.append(contentsOf: key)
        ends.append(bytes.count)
    }

    func withKey<R>(_ index: Int, _ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
        let start = index == 0 ? 0 : ends[index - 1]
        return bytes.withUnsafeBufferPointer { body(UnsafeBufferPointer(rebasing: $0[start..<ends[index]])) }
    }
}
