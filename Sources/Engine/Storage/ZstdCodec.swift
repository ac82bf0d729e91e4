// One value in, its compressed form out, and back: zstd contexts and buffers that are reused.
//
// Unsafe: owns libzstd's contexts and two buffers; what it returns points into those, and is good until the next call of
// the same kind. Not thread-safe.
//
//   stored value = length of the raw value, 7 bits a byte, the last byte below 128 | zstd frame without magic number,
//                  content size, checksum and dictionary id

import CZstd

final class ZstdCodec {
    /// Longer values are stored as they are: expanding one would take the store's lock for too long.
    static let valueBytesMax = 64 << 10
    private static let lengthBytesMax = 3
    /// zstd's format without the magic number; only the headers for static linking name it.
    private static let formatWithoutMagic: Int32 = 1

    private let compressing: OpaquePointer
    private let decompressing: OpaquePointer
    private var packed: UnsafeMutableRawBufferPointer
    private var raw: UnsafeMutableRawBufferPointer

    /// Nil when libzstd has no memory for it.
    init?() {
        guard let compressing = ZSTD_createCCtx() else { return nil }
        guard let decompressing = ZSTD_createDCtx() else {
            ZSTD_freeCCtx(compressing)
            return nil
        }
        self.compressing = compressing
        self.decompressing = decompressing
        packed = .allocate(byteCount: 1024, alignment: 8)
        raw = .allocate(byteCount: 1024, alignment: 8)
        configure()
    }

    deinit {
        ZSTD_freeCCtx(compressing)
        ZSTD_freeDCtx(decompressing)
        packed.deallocate()
        raw.deallocate()
    }

    private func configure() {
        ZSTD_CCtx_setParameter(compressing, ZSTD_c_compressionLevel, CompressionDictionary.level)
        ZSTD_CCtx_setParameter(compressing, ZSTD_c_contentSizeFlag, 0)
        ZSTD_CCtx_setParameter(compressing, ZSTD_c_checksumFlag, 0)
        ZSTD_CCtx_setParameter(compressing, ZSTD_c_dictIDFlag, 0)
        // Both or neither: a libzstd that knows the format for one direction only would not read what it wrote.
        let written = ZSTD_CCtx_setParameter(compressing, ZSTD_c_experimentalParam2, Self.formatWithoutMagic)
        let read = ZSTD_DCtx_setParameter(decompressing, ZSTD_d_experimentalParam1, Self.formatWithoutMagic)
        if ZSTD_isError(written) != 0 || ZSTD_isError(read) != 0 {
            ZSTD_CCtx_setParameter(compressing, ZSTD_c_experimentalParam2, 0)
            ZSTD_DCtx_setParameter(decompressing, ZSTD_d_experimentalParam1, 0)
        }
    }

    var memoryBytes: Int {
        ZSTD_sizeof_CCtx(compressing) + ZSTD_sizeof_DCtx(decompressing) + packed.count + raw.count
    }

    /// Values are compressed with this dictionary from now on; nil: without. libzstd digests it with the next value.
    func use(_ dictionary: CompressionDictionary?) {
        // A compression that was given up for want of room counts as under way, and then libzstd loads nothing.
        ZSTD_CCtx_reset(compressing, ZSTD_reset_session_only)
        let content = dictionary?.content ?? []
        let status = ZSTD_CCtx_loadDictionary(compressing, content, content.count)
        precondition(ZSTD_isError(status) == 0, "libzstd has no memory for a dictionary")
    }

    /// The stored form of a value, or nil when it is not at least 15 % and 16 bytes smaller.
    func compress(_ value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        guard value.count > 0, value.count <= Self.valueBytesMax else { return nil }
        Self.reserve(&packed, ZSTD_compressBound(value.count) + Self.lengthBytesMax)
        let target = packed.baseAddress!
        let lengthBytes = Self.writeLength(value.count, to: target)
        // libzstd gives up as soon as what is not worth keeping has no room.
        let worthwhile = min(value.count * 85 / 100, value.count - 16)
        guard worthwhile > lengthBytes else { return nil }
        let written = ZSTD_compress2(
            compressing, target + lengthBytes, worthwhile - lengthBytes, value.baseAddress, value.count)
        guard ZSTD_isError(written) == 0 else { return nil }
        return UnsafeRawBufferPointer(start: target, count: lengthBytes + written)
    }

    /// The value of a stored form that `compress` gave, with the same dictionary.
    func decompress(
        _ stored: UnsafeRawBufferPointer, with dictionary: CompressionDictionary?
    ) -> UnsafeRawBufferPointer {
        let (count, lengthBytes) = Self.readLength(stored)
        Self.reserve(&raw, count)
        ZSTD_DCtx_refDDict(decompressing, dictionary?.decompressing)
        let written = ZSTD_decompressDCtx(
            decompressing, raw.baseAddress, count, stored.baseAddress! + lengthBytes, stored.count - lengthBytes)
        // The store wrote these bytes itself: anything else is broken memory.
        precondition(written == count, "a compressed value is broken")
        return UnsafeRawBufferPointer(start: raw.baseAddress, count: count)
    }

    /// How long the value of a stored form is.
    static func rawBytes(_ stored: UnsafeRawBufferPointer) -> Int { readLength(stored).count }

    private static func reserve(_ buffer: inout UnsafeMutableRawBufferPointer, _ count: Int) {
        guard buffer.count < count else { return }
        buffer.deallocate()
        buffer = .allocate(byteCount: max(count, buffer.count * 2), alignment: 8)
    }

    private static func writeLength(_ count: Int, to target: UnsafeMutableRawPointer) -> Int {
        var (rest, at) = (count, 0)
        while rest >= 128 {
            target.storeBytes(of: UInt8(truncatingIfNeeded: rest) | 128, toByteOffset: at, as: UInt8.self)
            rest >>= 7
            at += 1
        }
        target.storeBytes(of: UInt8(truncatingIfNeeded: rest), toByteOffset: at, as: UInt8.self)
        return at + 1
    }

    private static func readLength(_ stored: UnsafeRawBufferPointer) -> (count: Int, lengthBytes: Int) {
        var (count, at) = (0, 0)
        while true {
            let byte = stored[at]
            count |= Int(byte & 127) << (7 * at)
            at += 1
            if byte < 128 { return (count, at) }
        }
    }
}
