// Loops that go to a place in memory for each row, which no vectors help: built once.
#include "CKernels.h"

// MARK: Sums

// One addition to memory a row, which is what bounds it; copies keep neighbours of one group from waiting for each other.
#define CK_ADD_LOOP(value)                                                                                              \
    if (copy) {                                                                                                         \
        uint64_t *b = sums + copy, *c = b + copy, *d = c + copy;                                                        \
        for (; i + 4 <= n; i += 4) {                                                                                    \
            sums[ids[i]] += value(i);                                                                                   \
            b[ids[i + 1]] += value(i + 1);                                                                              \
            c[ids[i + 2]] += value(i + 2);                                                                              \
            d[ids[i + 3]] += value(i + 3);                                                                              \
        }                                                                                                               \
    }                                                                                                                   \
    for (; i < n; i++) sums[ids[i]] += value(i);
#define CK_VALUE(i) (codes[i] + offset)
#define CK_SCALED(i) (codes[i] * scale + offset)
#define CK_ADD_GROUP_LOOPS(I, C)                                                                                        \
    void ck_add_groups##I##_##C(                                                                                    \
        uint64_t *sums, size_t copy, const uint##I##_t *ids, const uint##C##_t *codes, size_t n, uint64_t scale,        \
        uint64_t offset) {                                                                                              \
        size_t i = 0;                                                                                                   \
        if (scale == 1) {                                                                                               \
            CK_ADD_LOOP(CK_VALUE)                                                                                       \
        } else {                                                                                                        \
            CK_ADD_LOOP(CK_SCALED)                                                                                      \
        }                                                                                                               \
    }
CK_ADD_GROUP_LOOPS(8, 8)
CK_ADD_GROUP_LOOPS(8, 16)
CK_ADD_GROUP_LOOPS(8, 32)
CK_ADD_GROUP_LOOPS(16, 8)
CK_ADD_GROUP_LOOPS(16, 16)
CK_ADD_GROUP_LOOPS(16, 32)
CK_ADD_GROUP_LOOPS(32, 8)
CK_ADD_GROUP_LOOPS(32, 16)
CK_ADD_GROUP_LOOPS(32, 32)

#define CK_LISTED_LOOP(I)                                                                                               \
    void ck_add_listed##I(uint64_t *sums, const uint##I##_t *ids, const uint16_t *rows, size_t count, uint64_t number) { \
        for (size_t i = 0; i < count; i++) sums[ids[rows[i]]] += number;                                                \
    }
CK_LISTED_LOOP(8)
CK_LISTED_LOOP(16)
CK_LISTED_LOOP(32)

// MARK: Counts

#define CK_COUNT_LOOP(place)                                                                                            \
    if (copy) {                                                                                                         \
        uint32_t *b = counters + copy, *c = b + copy, *d = c + copy;                                                    \
        for (; i + 4 <= n; i += 4) {                                                                                    \
            counters[place(i)]++;                                                                                       \
            b[place(i + 1)]++;                                                                                          \
            c[place(i + 2)]++;                                                                                          \
            d[place(i + 3)]++;                                                                                          \
        }                                                                                                               \
    }                                                                                                                   \
    for (; i < n; i++) counters[place(i)]++;
#define CK_PLACE(i) codes[i]
#define CK_SPACED(i) (codes[i] * step)

#define CK_COUNT_LOOPS(C)                                                                                               \
    void ck_count##C(uint32_t *counters, size_t copy, const uint##C##_t *codes, size_t n, size_t step) {                \
        size_t i = 0;                                                                                                   \
        if (step == 1) {                                                                                                \
            CK_COUNT_LOOP(CK_PLACE)                                                                                     \
        } else {                                                                                                        \
            CK_COUNT_LOOP(CK_SPACED)                                                                                    \
        }                                                                                                               \
    }
CK_COUNT_LOOPS(8)
CK_COUNT_LOOPS(16)
CK_COUNT_LOOPS(32)

// MARK: Verdicts

#define CK_JUDGE_LOOP(C)                                                                                                \
    void ck_judge##C(const uint##C##_t *codes, size_t n, const uint8_t *verdicts, uint64_t *bits) {                     \
        for (size_t start = 0; start < n; start += 64) {                                                                \
            size_t count = n - start < 64 ? n - start : 64;                                                             \
            uint64_t word = 0;                                                                                          \
            for (size_t i = 0; i < count; i++) word |= (uint64_t)verdicts[codes[start + i]] << i;                       \
            bits[start / 64] = word;                                                                                    \
        }                                                                                                               \
    }
CK_JUDGE_LOOP(8)
CK_JUDGE_LOOP(16)
CK_JUDGE_LOOP(32)
