// Raw memory of a column: aligned, of fixed size, freed with its last owner.

// Unsafe: owns a raw allocation; whoever reads through `start` keeps this object alive and stays within `count`.

/// Memory that is written before it is shared, or only beyond what readers were told of, and never changes after that:
/// hence Sendable.
package final class ColumnBytes: @unchecked Sendable {
    let start: UnsafeMutableRawPointer
    package let count: Int

    init(count: Int) {
        self.count = count
        start = .allocate(byteCount: max(count, 1), alignment: 64)
    }

    convenience init(copying bytes: UnsafeRawBufferPointer) {
        self.init(count: bytes.count)
        if bytes.count > 0 { start.copyMemory(from: bytes.baseAddress!, byteCount: bytes.count) }
    }

    deinit { start.deallocate() }

    var raw: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }
}
