// A zstd dictionary: what many values have in common, trained from a sample of them.
//
// Unsafe: owns the form of it that libzstd reads with. That is read-only, so threads may share it.

import CZstd

package final class CompressionDictionary: @unchecked Sendable {
    static let level: Int32 = 1
    static let contentBytesMax = 16 << 10

    let content: [UInt8]
    let decompressing: OpaquePointer

    /// Nil when libzstd has no memory for it.
    init?(content: [UInt8]) {
        guard let decompressing = ZSTD_createDDict(content, content.count) else { return nil }
        self.decompressing = decompressing
        self.content = content
    }

    deinit { ZSTD_freeDDict(decompressing) }

    var memoryBytes: Int { content.count + ZSTD_sizeof_DDict(decompressing) }
}

/// Values picked from a store, laid end to end.
struct ValueSample: Sendable {
    /// A long value's start tells enough.
    static let valueBytesMax = 4096
    static let countMin = 64

    /// Full when there are so many.
    let bytesMax: Int
    private(set) var bytes: [UInt8] = []
    private(set) var sizes: [Int] = []

    /// Takes its memory at once, so that it does not grow by copying.
    init(bytesMax: Int) {
        self.bytesMax = bytesMax
        bytes.reserveCapacity(bytesMax + Self.valueBytesMax)
    }

    var isFull: Bool { bytes.count >= bytesMax }
    var memoryBytes: Int { bytes.capacity + sizes.capacity * MemoryLayout<Int>.stride }

    mutating func add(_ value: UnsafeRawBufferPointer) {
        let count = min(value.count, Self.valueBytesMax)
        bytes.append(contentsOf: value[..<count])
        sizes.append(count)
    }

    /// A dictionary that makes values which it was not trained on at least 3 % smaller than `present` does (or
    /// compression without a dictionary), and the ratio it reaches; nil when there is none. Takes some ten milliseconds: not
    /// to be called under a lock.
    func train(against present: CompressionDictionary?) -> (dictionary: CompressionDictionary, ratio: Double)? {
        guard sizes.count >= Self.countMin, let codec = ZstdCodec() else { return nil }
        let trainedCount = sizes.count - sizes.count / 8
        let trainedBytes = sizes[..<trainedCount].reduce(0, +)
        let capacity = max(256, min(CompressionDictionary.contentBytesMax, trainedBytes / 16))
        let content = bytes.withUnsafeBytes {
            DictionaryTrainer.dictionary(
                of: UnsafeRawBufferPointer(rebasing: $0[..<trainedBytes]), sizes: sizes[..<trainedCount],
                capacity: capacity)
        }
        guard let content, let dictionary = CompressionDictionary(content: content) else { return nil }
        let without = heldOutBytes(from: trainedCount, at: trainedBytes, with: present, codec)
        let with = heldOutBytes(from: trainedCount, at: trainedBytes, with: dictionary, codec)
        guard with.stored * 100 <= without.stored * 97 else { return nil }
        return (dictionary, Double(with.stored) / Double(max(1, with.raw)))
    }

    /// What the values that were not trained on take up, each as it is where compression does not pay.
    private func heldOutBytes(
        from first: Int, at start: Int, with dictionary: CompressionDictionary?, _ codec: ZstdCodec
    ) -> (stored: Int, raw: Int) {
        var (at, stored, raw) = (start, 0, 0)
        codec.use(dictionary)
        bytes.withUnsafeBytes { bytes in
            for size in sizes[first...] {
                let value = UnsafeRawBufferPointer(rebasing: bytes[at..<(at + size)])
                stored += codec.compress(value)?.count ?? size
                raw += size
                at += size
            }
        }
        return (stored, raw)
    }
}
