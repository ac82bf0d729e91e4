// The list of the loops that depend on the instruction set: the table of each, and the functions that go through it, are made
// from it.
#pragma once

#include "CKernels.h"

#define CK_DIGITS(X, I, C)                                                                                              \
    X(void, digits##I##_##C,                                                                                            \
      (uint##I##_t * ids, const uint##C##_t *codes, size_t n, uint32_t step, uint32_t offset, bool adds),               \
      (ids, codes, n, step, offset, adds))

#define CK_ADD_RUNS(X, I, C)                                                                                            \
    X(void, add_runs##I##_##C,                                                                                          \
      (uint64_t * sums, const uint##I##_t *ids, const uint##C##_t *codes, size_t n, uint64_t scale, uint64_t offset),   \
      (sums, ids, codes, n, scale, offset))

// Loops over codes of C bits.
#define CK_CODES(X, C)                                                                                                  \
    X(void, unpack##C, (const uint##C##_t *words, size_t lanes, int bits, uint##C##_t *out), (words, lanes, bits, out)) \
    X(void, within##C,                                                                                                  \
      (const uint##C##_t *codes, size_t n, uint##C##_t start, uint##C##_t span, bool inverted, uint64_t *bits),         \
      (codes, n, start, span, inverted, bits))                                                                          \
    X(void, equals##C,                                                                                                  \
      (const uint##C##_t *codes, size_t n, const uint##C##_t *keys, size_t key_count, uint64_t *bits),                  \
      (codes, n, keys, key_count, bits))                                                                                \
    X(void, select##C, (const uint##C##_t *source, size_t n, const uint64_t *bits, uint##C##_t *out),                   \
      (source, n, bits, out))                                                                                           \
    CK_ADD_RUNS(X, 8, C)                                                                                                \
    CK_ADD_RUNS(X, 16, C)                                                                                               \
    CK_ADD_RUNS(X, 32, C)                                                                                               \
    X(void, mark##C, (uint8_t * seen, const uint##C##_t *codes, size_t n, size_t step), (seen, codes, n, step))         \
    X(uint64_t, sum##C, (const uint##C##_t *codes, size_t n), (codes, n))                                               \
    X(void, bounds##C, (const uint##C##_t *codes, size_t n, uint##C##_t *low, uint##C##_t *high), (codes, n, low, high))

#define CK_ARITHMETIC(X, name)                                                                                          \
    X(void, name, (double *a, const double *b, size_t n), (a, b, n))                                                    \
    X(void, name##_number, (double *a, double b, size_t n), (a, b, n))

#define CK_ALL(X)                                                                                                       \
    CK_CODES(X, 8)                                                                                                      \
    CK_CODES(X, 16)                                                                                                     \
    CK_CODES(X, 32)                                                                                                     \
    X(size_t, narrow_rows, (const uint32_t *rows, size_t n, uint32_t start, uint32_t block_rows, uint16_t *out),        \
      (rows, n, start, block_rows, out))                                                                                \
    X(void, within64,                                                                                                   \
      (const uint64_t *codes, size_t n, uint64_t start, uint64_t span, bool inverted, uint64_t *bits),                  \
      (codes, n, start, span, inverted, bits))                                                                          \
    X(void, select64, (const uint64_t *source, size_t n, const uint64_t *bits, uint64_t *out), (source, n, bits, out))  \
    X(size_t, count_bits, (const uint64_t *bits, size_t n), (bits, n))                                                  \
    X(void, and_bits, (uint64_t * bits, const uint64_t *other, size_t n), (bits, other, n))                             \
    X(void, or_bits, (uint64_t * bits, const uint64_t *other, size_t n), (bits, other, n))                              \
    X(size_t, positions, (const uint64_t *bits, size_t n, uint16_t *out), (bits, n, out))                               \
    X(size_t, select_rows, (const uint16_t *rows, size_t count, size_t n, const uint64_t *bits, uint16_t *out),         \
      (rows, count, n, bits, out))                                                                                      \
    CK_DIGITS(X, 8, 8)                                                                                                  \
    CK_DIGITS(X, 16, 8)                                                                                                 \
    CK_DIGITS(X, 16, 16)                                                                                                \
    CK_DIGITS(X, 32, 8)                                                                                                 \
    CK_DIGITS(X, 32, 16)                                                                                                \
    CK_DIGITS(X, 32, 32)                                                                                                \
    X(void, add_pairs8,                                                                                                 \
      (uint64_t * table, uint32_t groups, int width, const uint8_t *ids, const uint8_t *codes, size_t n),               \
      (table, groups, width, ids, codes, n))                                                                            \
    X(void, add_pairs16,                                                                                                \
      (uint64_t * table, uint32_t groups, int width, const uint8_t *ids, const uint16_t *codes, size_t n),              \
      (table, groups, width, ids, codes, n))                                                                            \
    X(void, flush_pairs, (uint64_t * table, uint32_t groups, int width, uint64_t *sums, uint64_t *counts),              \
      (table, groups, width, sums, counts))                                                                             \
    X(void, doubles8, (const uint8_t *codes, size_t n, double base, double scale, double *out),                         \
      (codes, n, base, scale, out))                                                                                     \
    X(void, doubles16, (const uint16_t *codes, size_t n, double base, double scale, double *out),                       \
      (codes, n, base, scale, out))                                                                                     \
    X(void, doubles32, (const uint32_t *codes, size_t n, int64_t base, int64_t scale, double *out),                     \
      (codes, n, base, scale, out))                                                                                     \
    X(void, doubles64, (const int64_t *integers, size_t n, double *out), (integers, n, out))                            \
    CK_ARITHMETIC(X, add)                                                                                               \
    CK_ARITHMETIC(X, subtract)                                                                                          \
    CK_ARITHMETIC(X, multiply)                                                                                          \
    CK_ARITHMETIC(X, divide)                                                                                            \
    X(bool, mark_zeros, (const double *a, size_t n, uint64_t *bits), (a, n, bits))                                      \
    X(void, sum_doubles, (const double *a, size_t n, double *highs, double *lows), (a, n, highs, lows))                 \
    X(bool, extreme_double, (const double *a, size_t n, bool is_min, double *found), (a, n, is_min, found))

struct ck_table {
#define CK_MEMBER(result, name, parameters, arguments) result(*name) parameters;
    CK_ALL(CK_MEMBER)
#undef CK_MEMBER
};

extern const struct ck_table ck_portable;
#if defined(__x86_64__)
extern const struct ck_table ck_avx2;
extern const struct ck_table ck_avx512;
#endif
