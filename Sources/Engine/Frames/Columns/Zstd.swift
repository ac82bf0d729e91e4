// zstd for whole blobs: one frame in, one frame out, with every length checked.

// Unsafe: hands buffers to libzstd, which is told their sizes.

import CZstd

package enum Zstd {
    package static let levelDefault: Int32 = 1

    /// `bytes` as one zstd frame that states its content size.
    package static func compress(_ bytes: UnsafeRawBufferPointer, level: Int32 = levelDefault) -> [UInt8] {
        let bound = ZSTD_compressBound(bytes.count)
        return Array(unsafeUninitializedCapacity: bound) { out, count in
            let written = ZSTD_compress(out.baseAddress, bound, bytes.baseAddress, bytes.count, level)
            precondition(ZSTD_isError(written) == 0, "compression into a large enough buffer does not fail")
            count = written
        }
    }

    package static func compress(_ bytes: [UInt8], level: Int32 = levelDefault) -> [UInt8] {
        bytes.withUnsafeBytes { compress($0, level: level) }
    }

    /// The content of one frame, which must state a size of at most `bytesMax`. The bytes may come from anywhere.
    package static func decompress(_ bytes: [UInt8], bytesMax: Int) throws(Failure) -> [UInt8] {
        let size = bytes.withUnsafeBytes { ZSTD_getFrameContentSize($0.baseAddress, $0.count) }
        guard size < UInt64(Int.max), size <= UInt64(bytesMax) else {
            throw Failure(.incompleteData, "zstd: no frame, or one without a size, or larger than \(bytesMax) bytes")
        }
        var out = [UInt8](repeating: 0, count: Int(size))
        let written = out.withUnsafeMutableBytes { out in
            bytes.withUnsafeBytes { ZSTD_decompress(out.baseAddress, out.count, $0.baseAddress, $0.count) }
        }
        try check(written, expected: out.count)
        return out
    }

    /// Decompresses into memory of exactly the right size.
    static func decompress(_ bytes: [UInt8], into out: ColumnBytes) throws(Failure) {
        let written = bytes.withUnsafeBytes { ZSTD_decompress(out.start, out.count, $0.baseAddress, $0.count) }
        try check(written, expected: out.count)
    }

    private static func check(_ written: Int, expected: Int) throws(Failure) {
        guard ZSTD_isError(written) == 0 else {
            throw Failure(.incompleteData, "zstd: broken data (\(String(cString: ZSTD_getErrorName(written))))")
        }
        guard written == expected else {
            throw Failure(.incompleteData, "zstd: \(written) bytes where \(expected) were promised")
        }
    }
}
