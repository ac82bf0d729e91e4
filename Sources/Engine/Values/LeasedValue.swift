// A value on its way to an answer, and the memory that it was leased; and the text that is made of a large one.
//
// Unsafe: a `LeasedText` owns raw memory that nobody writes to any more.

/// The lease ends with its last owner: whoever passes the value on for long passes all of this on.
package struct LeasedValue: Sendable {
    package let value: Value
    /// Nil for what is on nobody's account, as it is small or was there before.
    package let lease: MemoryLease?

    package init(_ value: Value, _ lease: MemoryLease? = nil) {
        self.value = value
        self.lease = lease
    }
}

/// Bytes on a script's account for as long as they are there: until they were sent.
package final class LeasedText: @unchecked Sendable {
    package let bytes: UnsafeRawBufferPointer
    private let memory: UnsafeMutableRawBufferPointer
    private let lease: MemoryLease

    /// Owns the memory from now on.
    init(_ memory: UnsafeMutableRawBufferPointer, count: Int, _ lease: MemoryLease) {
        self.memory = memory
        self.lease = lease
        bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[..<count])
    }

    deinit { memory.deallocate() }
}

extension Collection<UInt8> {
    /// What they take as an array of their own, with what the allocator adds.
    var memoryBytes: Int { isEmpty ? 0 : 48 + count }
}

extension Value {
    /// What it takes in memory beside its own place: arrays, with what the allocator adds.
    package var heldBytes: Int {
        switch self {
        case .null, .bool, .int, .double: 0
        case .bytes(let bytes): bytes.memoryBytes
        case .array(let list): list.isEmpty ? 0 : list.reduce(48) { $0 + MemoryLayout<Value>.stride + $1.heldBytes }
        case .map(let pairs):
            pairs.isEmpty
                ? 0 : pairs.reduce(48) { $0 + MemoryLayout<Pair>.stride + $1.key.heldBytes + $1.value.heldBytes }
        }
    }
}
