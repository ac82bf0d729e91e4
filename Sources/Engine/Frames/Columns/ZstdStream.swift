// Decompression of a .zst file that arrives in pieces.

// Unsafe: hands buffers to libzstd, which is told their sizes.

import CZstd

/// A pull decoder: `feed` gives compressed bytes, `finish` says that there are no more. Not for several threads.
package final class ZstdStream {
    private let stream: OpaquePointer
    private var betweenFrames = true
    private var sawFrame = false

    package init() {
        guard let stream = ZSTD_createDStream() else { fatalError("out of memory for a zstd stream") }
        self.stream = stream
        ZSTD_initDStream(stream)
    }

    deinit { ZSTD_freeDStream(stream) }

    /// Decompresses `input` and appends to `output` all that it yields (the caller bounds memory by feeding small pieces).
    package func feed(_ input: UnsafeRawBufferPointer, into output: inout [UInt8]) throws(Failure) {
        let piece = ZSTD_DStreamOutSize()
        var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        var isFull = false
        while source.pos < source.size || isFull {
            let start = output.count
            output.append(contentsOf: repeatElement(0, count: piece))
            var written = 0
            let hint = output.withUnsafeMutableBytes { bytes in
                var target = ZSTD_outBuffer(dst: bytes.baseAddress! + start, size: piece, pos: 0)
                defer { written = target.pos }
                return ZSTD_decompressStream(stream, &target, &source)
            }
            output.removeLast(piece - written)
            guard ZSTD_isError(hint) == 0 else {
                throw Failure(.incompleteData, "zstd: broken data (\(String(cString: ZSTD_getErrorName(hint))))")
            }
            sawFrame = true
            betweenFrames = hint == 0
            isFull = written == piece && !betweenFrames
        }
    }

    package func feed(_ input: [UInt8], into output: inout [UInt8]) throws(Failure) {
        do { try input.withUnsafeBytes { try feed($0, into: &output) } } catch { throw error as! Failure }
    }

    /// Throws when the data ended within a frame, or there was none.
    package func finish() throws(Failure) {
        guard sawFrame, betweenFrames else {
            throw Failure(.incompleteData, "zstd: the data ends too early; the file is truncated")
        }
    }
}
