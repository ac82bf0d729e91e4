// The part of the loops that is about groups: their numbers, sums of pairs of rows, and codes that occur.

// MARK: Numbers of groups

#define CK_DIGIT_LOOPS(I, C)                                                                                            \
    static void digits##I##_##C(                                                                                        \
        uint##I##_t *ids, const uint##C##_t *codes, size_t n, uint32_t step, uint32_t offset, bool adds) {              \
        const uint##I##_t by = (uint##I##_t)step, from = (uint##I##_t)offset;                                           \
        size_t i = 0;                                                                                                   \
        for (; i + 64 <= n; i += 64) {                                                                                  \
            rows##I more = __builtin_convertvector(*(const rows##C *)(codes + i), rows##I) * by + from;                 \
            *(rows##I *)(ids + i) = adds ? *(const rows##I *)(ids + i) + more : more;                                   \
        }                                                                                                               \
        for (; i < n; i++) ids[i] = (uint##I##_t)((adds ? ids[i] : 0) + (uint32_t)codes[i] * by + from);                \
    }
CK_DIGIT_LOOPS(8, 8)
CK_DIGIT_LOOPS(16, 8)
CK_DIGIT_LOOPS(16, 16)
CK_DIGIT_LOOPS(32, 8)
CK_DIGIT_LOOPS(32, 16)
CK_DIGIT_LOOPS(32, 32)

// MARK: Runs

// 64 rows of one group are added up without going to memory, and so are the next ones of the same group; P is the width of sums.
#define CK_RUN_LOOPS(I, C, P)                                                                                           \
    static void add_runs##I##_##C(                                                                                      \
        uint64_t *sums, const uint##I##_t *ids, const uint##C##_t *codes, size_t n, uint64_t scale, uint64_t offset) {  \
        typedef uint##C##_t part __attribute__((ext_vector_type(512 / P), aligned(1), may_alias));                      \
        lanes##P sum = 0;                                                                                               \
        uint64_t rows = 0;                                                                                              \
        uint##I##_t run = n ? ids[0] : 0;                                                                               \
        size_t i = 0;                                                                                                   \
        for (; i + 64 <= n; i += 64) {                                                                                  \
            uint##I##_t id = ids[i];                                                                                    \
            if (~CK_WORD(*(const rows##I *)(ids + i) == (rows##I)id)) {                                                 \
                uint##I##_t current = id;                                                                               \
                uint64_t some = 0;                                                                                      \
                for (int at = 0; at < 64; at++) {                                                                       \
                    if (ids[i + at] != current) {                                                                       \
                        sums[current] += some;                                                                          \
                        some = 0;                                                                                       \
                        current = ids[i + at];                                                                          \
                    }                                                                                                   \
                    some += codes[i + at] * scale + offset;                                                             \
                }                                                                                                       \
                sums[current] += some;                                                                                  \
                continue;                                                                                               \
            }                                                                                                           \
            if (id != run) {                                                                                            \
                sums[run] += __builtin_reduce_add(__builtin_convertvector(sum, wide##P)) * scale + rows * offset;       \
                sum = 0;                                                                                                \
                rows = 0;                                                                                               \
                run = id;                                                                                               \
            }                                                                                                           \
            for (int at = 0; at < 64; at += 512 / P)                                                                    \
                sum += __builtin_convertvector(*(const part *)(codes + i + at), lanes##P);                              \
            rows += 64;                                                                                                 \
        }                                                                                                               \
        if (rows) sums[run] += __builtin_reduce_add(__builtin_convertvector(sum, wide##P)) * scale + rows * offset;     \
        for (; i < n; i++) sums[ids[i]] += codes[i] * scale + offset;                                                   \
    }
typedef uint64_t wide32 __attribute__((ext_vector_type(16)));
typedef uint64_t wide64 __attribute__((ext_vector_type(8)));
CK_RUN_LOOPS(8, 8, 32)
CK_RUN_LOOPS(8, 16, 32)
CK_RUN_LOOPS(8, 32, 64)
CK_RUN_LOOPS(16, 8, 32)
CK_RUN_LOOPS(16, 16, 32)
CK_RUN_LOOPS(16, 32, 64)
CK_RUN_LOOPS(32, 8, 32)
CK_RUN_LOOPS(32, 16, 32)
CK_RUN_LOOPS(32, 32, 64)

// MARK: Pairs

enum { pair_tile = 512 };  // rows

// Some pairs at a time are made by vectors and stay in the first-level cache until they are added.
#if CK_AVX512

#define CK_PAIR_LOOPS(C, widen)                                                                                         \
    static void add_pairs##C(                                                                                           \
        uint64_t *table, uint32_t groups, int width, const uint8_t *ids, const uint##C##_t *codes, size_t n) {          \
        uint16_t places[pair_tile / 2];                                                                                 \
        uint64_t values[pair_tile / 2];                                                                                 \
        const __m512i weights = _mm512_set1_epi16((short)(groups << 8 | 1));                                            \
        const __m512i first = _mm512_set1_epi64((1 << C) - 1);                                                          \
        const __m512i second = _mm512_set1_epi64((int64_t)((1 << C) - 1) << width);                                     \
        const __m512i one = _mm512_set1_epi64((int64_t)1 << 2 * width);                                                 \
        const __m128i shift = _mm_cvtsi32_si128(width - C);                                                             \
        size_t start = 0;                                                                                               \
        for (; start + pair_tile <= n; start += pair_tile) {                                                            \
            for (int i = 0; i < pair_tile; i += 64)                                                                     \
                _mm512_storeu_si512(                                                                                    \
                    places + i / 2, _mm512_maddubs_epi16(_mm512_loadu_si512(ids + start + i), weights));                \
            for (int i = 0; i < pair_tile; i += 16) {                                                                   \
                __m512i both = widen(codes + start + i);                                                                \
                __m512i sums = _mm512_or_si512(                                                                         \
                    _mm512_and_si512(both, first), _mm512_and_si512(_mm512_sll_epi64(both, shift), second));            \
                _mm512_storeu_si512(values + i / 2, _mm512_or_si512(sums, one));                                        \
            }                                                                                                           \
            for (int i = 0; i < pair_tile / 2; i += 4) {                                                                \
                table[places[i]] += values[i];                                                                          \
                table[places[i + 1]] += values[i + 1];                                                                  \
                table[places[i + 2]] += values[i + 2];                                                                  \
                table[places[i + 3]] += values[i + 3];                                                                  \
            }                                                                                                           \
        }                                                                                                               \
        for (; start < n; start += 2)                                                                                   \
            table[ids[start] + ids[start + 1] * groups] +=                                                              \
                codes[start] | (uint64_t)codes[start + 1] << width | (uint64_t)1 << 2 * width;                          \
    }
#define CK_WIDEN8(p) _mm512_cvtepu16_epi64(_mm_loadu_si128((const __m128i *)(p)))
#define CK_WIDEN16(p) _mm512_cvtepu32_epi64(_mm256_loadu_si256((const __m256i *)(p)))
CK_PAIR_LOOPS(8, CK_WIDEN8)
CK_PAIR_LOOPS(16, CK_WIDEN16)

#else

#define CK_PAIR_LOOPS(C)                                                                                                \
    static void add_pairs##C(                                                                                           \
        uint64_t *table, uint32_t groups, int width, const uint8_t *ids, const uint##C##_t *codes, size_t n) {          \
        for (size_t i = 0; i < n; i += 2)                                                                               \
            table[ids[i] + ids[i + 1] * groups] +=                                                                      \
                codes[i] | (uint64_t)codes[i + 1] << width | (uint64_t)1 << 2 * width;                                  \
    }
CK_PAIR_LOOPS(8)
CK_PAIR_LOOPS(16)

#endif

static void flush_pairs(uint64_t *table, uint32_t groups, int width, uint64_t *sums, uint64_t *counts) {
    const uint64_t mask = ((uint64_t)1 << width) - 1;
    for (uint32_t second = 0; second < groups; second++) {
        uint64_t *row = table + (size_t)second * groups, sum = 0, count = 0;
        uint32_t first = 0;
        lanes64 some_sums = 0, some_counts = 0;
        for (; first + 8 <= groups; first += 8) {
            lanes64 values = *(const lanes64 *)(row + first), numbers = values >> (uint64_t)(2 * width);
            *(lanes64 *)(row + first) = 0;
            *(lanes64 *)(sums + first) += values & mask;
            *(lanes64 *)(counts + first) += numbers;
            some_sums += (values >> (uint64_t)width) & mask;
            some_counts += numbers;
        }
        for (int lane = 0; lane < 8; lane++) {
            sum += some_sums[lane];
            count += some_counts[lane];
        }
        for (; first < groups; first++) {
            uint64_t value = row[first];
            row[first] = 0;
            sums[first] += value & mask;
            counts[first] += value >> 2 * width;
            sum += (value >> width) & mask;
            count += value >> 2 * width;
        }
        sums[second] += sum;
        counts[second] += count;
    }
}

// MARK: Codes that occur

#if CK_AVX512
// Whether all codes have been seen, sixteen at a time: once most have, that is cheaper than to store.
#define CK_ALL_SEEN(C, load)                                                                                            \
    CK_INLINE bool all_seen##C(const uint8_t *seen, const uint##C##_t *codes, size_t n) {                               \
        __mmask16 unseen = 0;                                                                                           \
        for (size_t i = 0; i + 16 <= n; i += 16)                                                                        \
            unseen |= _mm512_testn_epi32_mask(                                                                          \
                _mm512_i32gather_epi32(load, seen, 1), _mm512_set1_epi32(1));                                           \
        return unseen == 0;                                                                                             \
    }
CK_ALL_SEEN(8, _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(codes + i))))
CK_ALL_SEEN(16, _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(codes + i))))
CK_ALL_SEEN(32, _mm512_loadu_si512(codes + i))
enum { checks_seen = 1 };
#else
#define CK_ALL_SEEN(C)                                                                                                  \
    CK_INLINE bool all_seen##C(const uint8_t *seen, const uint##C##_t *codes, size_t n) {                               \
        (void)seen, (void)codes, (void)n;                                                                               \
        return false;                                                                                                   \
    }
CK_ALL_SEEN(8)
CK_ALL_SEEN(16)
CK_ALL_SEEN(32)
enum { checks_seen = 0 };
#endif

enum { seen_tile = 512 };

#define CK_MARK_LOOPS(C)                                                                                                  \
    static void mark##C(uint8_t *seen, const uint##C##_t *codes, size_t n, size_t step) {                               \
        for (size_t start = 0; start < n; start += seen_tile) {                                                         \
            size_t end = n - start < seen_tile ? n : start + seen_tile;                                                 \
            bool known = checks_seen && step == 1 && end - start == seen_tile;                                          \
            if (known && all_seen##C(seen, codes + start, seen_tile)) continue;                                         \
            for (size_t i = start; i < end; i++) seen[codes[i] * step] = 1;                                             \
        }                                                                                                               \
    }
CK_MARK_LOOPS(8)
CK_MARK_LOOPS(16)
CK_MARK_LOOPS(32)
