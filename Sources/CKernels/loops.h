// The loops themselves, included once for each instruction set under its target attributes.

#include <string.h>

#pragma STDC FP_CONTRACT OFF
#define CK_INLINE static inline __attribute__((always_inline))

// 64 bytes of lanes, at any address; and 64 lanes, whose comparison is a word of a bit mask.
#define CK_VECTORS(C)                                                                                                   \
    typedef uint##C##_t lanes##C __attribute__((ext_vector_type(512 / C), aligned(1), may_alias));                      \
    typedef uint##C##_t rows##C __attribute__((ext_vector_type(64), aligned(1), may_alias));
CK_VECTORS(8)
CK_VECTORS(16)
CK_VECTORS(32)
CK_VECTORS(64)
typedef double numbers8 __attribute__((ext_vector_type(8), aligned(1), may_alias));
typedef double numbers64 __attribute__((ext_vector_type(64), aligned(1), may_alias));
typedef bool flags64 __attribute__((ext_vector_type(64)));

// A vector's comparison as bits.
#define CK_WORD(comparison)                                                                                             \
    ({                                                                                                                  \
        flags64 flags = __builtin_convertvector(comparison, flags64);                                                   \
        uint64_t word;                                                                                                  \
        memcpy(&word, &flags, 8);                                                                                       \
        word;                                                                                                           \
    })

CK_INLINE size_t words_of(size_t n) { return (n + 63) / 64; }

// MARK: Unpacking

// Bytes have no shifts of their own: eight lie in a 64-bit lane, and what comes over from neighbours is masked.
static void unpack8(const uint8_t *words, size_t lanes, int bits, uint8_t *out) {
    const uint64_t every = 0x0101010101010101, mask = (1u << bits) - 1;
    for (int plane = 0; plane < 8; plane++) {
        int shift = plane * bits % 8, up = 8 - shift;
        const uint8_t *low = words + plane * bits / 8 * lanes, *high = low + lanes;
        uint64_t low_mask = every * ((0xFF >> shift) & mask);
        uint64_t high_mask = shift + bits > 8 ? every * ((0xFF << up) & mask) : 0;
        size_t i = 0;
        if (high_mask == 0) {
            for (; i + 64 <= lanes; i += 64)
                *(lanes64 *)(out + i) = (*(const lanes64 *)(low + i) >> (uint64_t)shift) & low_mask;
            for (; i < lanes; i++) out[i] = (low[i] >> shift) & mask;
        } else {
            for (; i + 64 <= lanes; i += 64)
                *(lanes64 *)(out + i) = ((*(const lanes64 *)(low + i) >> (uint64_t)shift) & low_mask) |
                                        ((*(const lanes64 *)(high + i) << (uint64_t)up) & high_mask);
            for (; i < lanes; i++) out[i] = ((low[i] >> shift) | (high[i] << up)) & mask;
        }
        out += lanes;
    }
}

#define CK_UNPACK(C)                                                                                                    \
    static void unpack##C(const uint##C##_t *words, size_t lanes, int bits, uint##C##_t *out) {                         \
        const uint##C##_t mask = (uint##C##_t)-1 >> (C - bits);                                                         \
        for (int plane = 0; plane < C; plane++) {                                                                       \
            const uint##C##_t shift = plane * bits % C, up = (C - shift) % C;                                           \
            const uint##C##_t *low = words + plane * bits / C * lanes, *high = low + lanes;                             \
            size_t i = 0;                                                                                               \
            if (shift + bits <= C) {                                                                                    \
                for (; i + 512 / C <= lanes; i += 512 / C)                                                              \
                    *(lanes##C *)(out + i) = (*(const lanes##C *)(low + i) >> shift) & mask;                            \
                for (; i < lanes; i++) out[i] = (low[i] >> shift) & mask;                                               \
            } else {                                                                                                    \
                for (; i + 512 / C <= lanes; i += 512 / C)                                                              \
                    *(lanes##C *)(out + i) =                                                                            \
                        ((*(const lanes##C *)(low + i) >> shift) | (*(const lanes##C *)(high + i) << up)) & mask;       \
                for (; i < lanes; i++) out[i] = ((low[i] >> shift) | ((uint64_t)high[i] << up)) & mask;                 \
            }                                                                                                           \
            out += lanes;                                                                                               \
        }                                                                                                               \
    }
CK_UNPACK(16)
CK_UNPACK(32)

static size_t narrow_rows(
    const uint32_t *restrict rows, size_t n, uint32_t start, uint32_t block_rows, uint16_t *restrict out) {
    size_t i = 0;
    while (i + 32 <= n && rows[i + 31] - start < block_rows) {
        for (int at = 0; at < 32; at++) out[i + at] = (uint16_t)(rows[i + at] - start);
        i += 32;
    }
    for (; i < n && rows[i] - start < block_rows; i++) out[i] = (uint16_t)(rows[i] - start);
    return i;
}

// MARK: Filters

// Runs `body` over each 64 rows of `codes`, as the vector `x` and the number `w` of a word; the last rows from a copy.
#define CK_EACH_WORD(C, body)                                                                                           \
    size_t w = 0;                                                                                                       \
    for (; w < n / 64; w++) {                                                                                           \
        rows##C x = *(const rows##C *)(codes + 64 * w);                                                                 \
        body;                                                                                                           \
    }                                                                                                                   \
    if (n % 64) {                                                                                                       \
        uint##C##_t last[64] = {0};                                                                                     \
        memcpy(last, codes + 64 * w, n % 64 * (C / 8));                                                                 \
        rows##C x = *(const rows##C *)last;                                                                             \
        body;                                                                                                           \
        bits[w] &= ((uint64_t)1 << n % 64) - 1;                                                                         \
    }

#define CK_WITHIN(C)                                                                                                    \
    static void within##C(                                                                                              \
        const uint##C##_t *codes, size_t n, uint##C##_t start, uint##C##_t span, bool inverted, uint64_t *bits) {       \
        uint64_t flip = inverted ? ~(uint64_t)0 : 0;                                                                    \
        CK_EACH_WORD(C, bits[w] = CK_WORD((x - start) <= (rows##C)span) ^ flip)                                         \
    }
CK_WITHIN(8)
CK_WITHIN(16)
CK_WITHIN(32)
CK_WITHIN(64)

#define CK_EQUALS(C)                                                                                                    \
    static void equals##C(                                                                                              \
        const uint##C##_t *codes, size_t n, const uint##C##_t *keys, size_t key_count, uint64_t *bits) {                \
        CK_EACH_WORD(C, {                                                                                               \
            uint64_t any = 0;                                                                                           \
            for (size_t k = 0; k < key_count; k++) any |= CK_WORD(x == (rows##C)keys[k]);                               \
            bits[w] = any;                                                                                              \
        })                                                                                                              \
    }
CK_EQUALS(8)
CK_EQUALS(16)
CK_EQUALS(32)

// MARK: Bit masks

static size_t count_bits(const uint64_t *bits, size_t n) {
    size_t count = 0;
    for (size_t w = 0; w < words_of(n); w++) count += (size_t)__builtin_popcountll(bits[w]);
    return count;
}

static void and_bits(uint64_t *restrict bits, const uint64_t *restrict other, size_t n) {
    for (size_t w = 0; w < words_of(n); w++) bits[w] &= other[w];
}

static void or_bits(uint64_t *restrict bits, const uint64_t *restrict other, size_t n) {
    for (size_t w = 0; w < words_of(n); w++) bits[w] |= other[w];
}

#if CK_AVX512

static size_t positions(const uint64_t *bits, size_t n, uint16_t *out) {
    size_t count = 0;
    __m512i low = _mm512_set_epi16(
        31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2,
        1, 0);
    __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(32)), next = _mm512_set1_epi16(64);
    for (size_t w = 0; w < words_of(n); w++) {
        uint64_t word = bits[w];
        _mm512_storeu_si512(out + count, _mm512_maskz_compress_epi16((__mmask32)word, low));
        count += (size_t)__builtin_popcount((uint32_t)word);
        _mm512_storeu_si512(out + count, _mm512_maskz_compress_epi16((__mmask32)(word >> 32), high));
        count += (size_t)__builtin_popcountll(word >> 32);
        low = _mm512_add_epi16(low, next);
        high = _mm512_add_epi16(high, next);
    }
    return count;
}

// The mask of what is loaded has no row beyond `n`, and what is masked out is not read.
#define CK_SELECT(C, lane, mask)                                                                                        \
    static void select##C(const uint##C##_t *source, size_t n, const uint64_t *bits, uint##C##_t *out) {                \
        for (size_t w = 0; w < words_of(n); w++) {                                                                      \
            uint64_t word = bits[w];                                                                                    \
            if (word == 0) continue;                                                                                    \
            for (int part = 0; part < C / 8; part++) {                                                                  \
                mask some = (mask)(word >> part * (512 / C) % 64);                                                      \
                __m512i found = _mm512_maskz_loadu_##lane(some, source + 64 * w + part * (512 / C));                    \
                _mm512_storeu_si512(out, _mm512_maskz_compress_##lane(some, found));                                    \
                out += __builtin_popcountll(some);                                                                      \
            }                                                                                                           \
        }                                                                                                               \
    }
CK_SELECT(8, epi8, __mmask64)
CK_SELECT(16, epi16, __mmask32)
CK_SELECT(32, epi32, __mmask16)
CK_SELECT(64, epi64, __mmask8)

#else

static size_t positions(const uint64_t *bits, size_t n, uint16_t *out) {
    size_t count = 0;
    for (size_t w = 0; w < words_of(n); w++)
        for (uint64_t word = bits[w]; word != 0; word &= word - 1)
            out[count++] = (uint16_t)(64 * w + (size_t)__builtin_ctzll(word));
    return count;
}

#define CK_SELECT(C)                                                                                                    \
    static void select##C(const uint##C##_t *source, size_t n, const uint64_t *bits, uint##C##_t *out) {                \
        for (size_t w = 0; w < words_of(n); w++)                                                                        \
            for (uint64_t word = bits[w]; word != 0; word &= word - 1)                                                  \
                *out++ = source[64 * w + (size_t)__builtin_ctzll(word)];                                                \
    }
CK_SELECT(8)
CK_SELECT(16)
CK_SELECT(32)
CK_SELECT(64)

#endif

static size_t select_rows(const uint16_t *rows, size_t count, size_t n, const uint64_t *bits, uint16_t *out) {
    uint16_t before[CK_BLOCK_ROWS / 64];
    uint16_t sum = 0;
    for (size_t w = 0; w < words_of(n); w++) {
        before[w] = sum;
        sum = (uint16_t)(sum + __builtin_popcountll(bits[w]));
    }
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t word = bits[rows[i] / 64], bit = (uint64_t)1 << rows[i] % 64;
        out[found] = (uint16_t)(before[rows[i] / 64] + __builtin_popcountll(word & (bit - 1)));
        found += (word & bit) != 0;
    }
    return found;
}

#include "group_loops.h"
#include "number_loops.h"

#define CK_ENTRY(result, name, parameters, arguments) .name = name,
const struct ck_table CK_TABLE = {CK_ALL(CK_ENTRY)};
#undef CK_ENTRY
