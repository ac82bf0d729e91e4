// Memory for the numbers of one block, kept for the next scan when a scan is over.

// Unsafe: owns raw memory of a fixed size.

import Synchronization

/// Fixed memory for numbers of a block, given back with its owner.
final class BlockBuffer {
    let raw: UnsafeMutableRawPointer
    /// Room for whole planes of packed codes, and for whole vectors, beyond a block's rows.
    static let elements = BitPacking.blockRows + 64

    init() { raw = BlockMemory.shared.take() }
    deinit { BlockMemory.shared.give(raw) }

    func pointer<T: BitwiseCopyable>(_: T.Type = T.self) -> UnsafeMutablePointer<T> {
        raw.assumingMemoryBound(to: T.self)
    }
}

/// Scans take and give back some megabytes. To allocate them each time costs more than a fast scan: the allocator returns
/// them to the system, which stops all threads to do so, and every page comes back by a fault.
private final class BlockMemory: Sendable {
    static let shared = BlockMemory()
    private static let bytes = BlockBuffer.elements * 8
    /// Buffers that are kept, about 8 MB.
    private static let keptMax = 128
    /// Addresses of buffers that nobody uses; the last one given back is the first to be taken, as it is likely cached.
    private let free = Mutex<[UInt]>([])

    func take() -> UnsafeMutableRawPointer {
        if let known = free.withLock({ $0.popLast() }), let pointer = UnsafeMutableRawPointer(bitPattern: known) {
            return pointer
        }
        return .allocate(byteCount: Self.bytes, alignment: 64)
    }

    func give(_ pointer: UnsafeMutableRawPointer) {
        let isKept = free.withLock { free in
            guard free.count < Self.keptMax else { return false }
            free.append(UInt(bitPattern: pointer))
            return true
        }
        if !isKept { pointer.deallocate() }
    }
}
