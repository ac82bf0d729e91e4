// MD5 (RFC 1321), because ketama places servers and keys by it. Not for anything that needs a secure hash.
// Unsafe pointers: the input is read in blocks of 64 bytes straight from the caller's memory.

/// The digest of `bytes` as four words; in little-endian order their bytes are the digest as it is usually written.
/// Cost: about 0.15 µs a block of 64 bytes, at least one block; allocates nothing.
package func md5(_ bytes: UnsafeRawBufferPointer) -> (UInt32, UInt32, UInt32, UInt32) {
    var state = MD5State()
    let wholeBytes = bytes.count & ~63
    for offset in stride(from: 0, to: wholeBytes, by: 64) {
        // 64 bytes from here lie within `bytes`: the offset is a multiple of 64 below `wholeBytes`.
        state.absorb(bytes.baseAddress! + offset)
    }
    // The rest, a 1 bit, zeros and the length in bits fill one block, or two when fewer than 9 bytes are free.
    let rest = UnsafeRawBufferPointer(rebasing: bytes[wholeBytes...])
    let tailBytes = rest.count < 56 ? 64 : 128
    withUnsafeTemporaryAllocation(byteCount: tailBytes, alignment: 8) { tail in
        tail.initializeMemory(as: UInt8.self, repeating: 0)
        tail.copyMemory(from: rest)
        tail[rest.count] = 0x80
        tail.storeBytes(of: (UInt64(bytes.count) &* 8).littleEndian, toByteOffset: tailBytes - 8, as: UInt64.self)
        for offset in stride(from: 0, to: tailBytes, by: 64) {
            state.absorb(UnsafeRawPointer(tail.baseAddress! + offset))
        }
    }
    return (state.a, state.b, state.c, state.d)
}

private struct MD5State {
    var a: UInt32 = 0x6745_2301
    var b: UInt32 = 0xEFCD_AB89
    var c: UInt32 = 0x98BA_DCFE
    var d: UInt32 = 0x1032_5476

    /// Mixes in the 64 bytes at `block`: four rounds of sixteen steps, written four at a time so that the words keep
    /// their names instead of rotating through them.
    mutating func absorb(_ block: UnsafeRawPointer) {
        var (a, b, c, d) = (self.a, self.b, self.c, self.d)
        for i in stride(from: 0, to: 16, by: 4) {
            a = step(a, d ^ (b & (c ^ d)), block, i, i, 7, b)
            d = step(d, c ^ (a & (b ^ c)), block, i + 1, i + 1, 12, a)
            c = step(c, b ^ (d & (a ^ b)), block, i + 2, i + 2, 17, d)
            b = step(b, a ^ (c & (d ^ a)), block, i + 3, i + 3, 22, c)
        }
        for i in stride(from: 16, to: 32, by: 4) {
            a = step(a, c ^ (d & (b ^ c)), block, 5 * i + 1, i, 5, b)
            d = step(d, b ^ (c & (a ^ b)), block, 5 * i + 6, i + 1, 9, a)
            c = step(c, a ^ (b & (d ^ a)), block, 5 * i + 11, i + 2, 14, d)
            b = step(b, d ^ (a & (c ^ d)), block, 5 * i + 16, i + 3, 20, c)
        }
        for i in stride(from: 32, to: 48, by: 4) {
            a = step(a, b ^ c ^ d, block, 3 * i + 5, i, 4, b)
            d = step(d, a ^ b ^ c, block, 3 * i + 8, i + 1, 11, a)
            c = step(c, d ^ a ^ b, block, 3 * i + 11, i + 2, 16, d)
            b = step(b, c ^ d ^ a, block, 3 * i + 14, i + 3, 23, c)
        }
        for i in stride(from: 48, to: 64, by: 4) {
            a = step(a, c ^ (b | ~d), block, 7 * i, i, 6, b)
            d = step(d, b ^ (a | ~c), block, 7 * i + 7, i + 1, 10, a)
            c = step(c, a ^ (d | ~b), block, 7 * i + 14, i + 2, 15, d)
            b = step(b, d ^ (c | ~a), block, 7 * i + 21, i + 3, 21, c)
        }
        self.a &+= a
        self.b &+= b
        self.c &+= c
        self.d &+= d
    }

    /// One step; `word` counts modulo 16, so the 4 bytes read lie within the block.
    @inline(__always)
    private func step(
        _ start: UInt32, _ mixed: UInt32, _ block: UnsafeRawPointer, _ word: Int, _ constant: Int, _ shift: UInt32,
        _ next: UInt32
    ) -> UInt32 {
        let input = UInt32(littleEndian: block.loadUnaligned(fromByteOffset: (word & 15) &* 4, as: UInt32.self))
        let sum = start &+ mixed &+ input &+ sineTable[constant]
        return next &+ (sum &<< shift | sum &>> (32 &- shift))
    }
}

/// The whole part of 2³² · |sin(i + 1)|, for the 64 steps.
private let sineTable: [UInt32] = [
    0xD76A_A478, 0xE8C7_B756, 0x2420_70DB, 0xC1BD_CEEE, 0xF57C_0FAF, 0x4787_C62A, 0xA830_4613, 0xFD46_9501,
    0x6980_98D8, 0x8B44_F7AF, 0xFFFF_5BB1, 0x895C_D7BE, 0x6B90_1122, 0xFD98_7193, 0xA679_438E, 0x49B4_0821,
    0xF61E_2562, 0xC040_B340, 0x265E_5A51, 0xE9B6_C7AA, 0xD62F_105D, 0x0244_1453, 0xD8A1_E681, 0xE7D3_FBC8,
    0x21E1_CDE6, 0xC337_07D6, 0xF4D5_0D87, 0x455A_14ED, 0xA9E3_E905, 0xFCEF_A3F8, 0x676F_02D9, 0x8D2A_4C8A,
    0xFFFA_3942, 0x8771_F681, 0x6D9D_6122, 0xFDE5_380C, 0xA4BE_EA44, 0x4BDE_CFA9, 0xF6BB_4B60, 0xBEBF_BC70,
    0x289B_7EC6, 0xEAA1_27FA, 0xD4EF_3085, 0x0488_1D05, 0xD9D4_D039, 0xE6DB_99E5, 0x1FA2_7CF8, 0xC4AC_5665,
    0xF429_2244, 0x432A_FF97, 0xAB94_23A7, 0xFC93_A039, 0x655B_59C3, 0x8F0C_CC92, 0xFFEF_F47D, 0x8584_5DD1,
    0x6FA8_7E4F, 0xFE2C_E6E0, 0xA301_4314, 0x4E08_11A1, 0xF753_7E82, 0xBD3A_F235, 0x2AD7_D2BB, 0xEB86_D391,
]
