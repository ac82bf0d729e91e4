// Innermost loops over a block's columns, each compiled for several instruction sets of which the processor's best runs.
//
// Nothing here allocates, fails or keeps anything. `n` counts rows. A bit mask has one 64-bit word for 64 rows, lowest bit first,
// and 0 for rows beyond `n`. No loop reads beyond what it is told to; where one may write beyond, its comment says how far.
#ifndef CKERNELS_H
#define CKERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Rows of a block, at most.
#define CK_BLOCK_ROWS 8192

// MARK: Instruction sets

// 0: any processor of this architecture; 1: AVX2; 2: AVX-512 with VBMI2.
int ck_level_max(void);
// Takes the loops of a level, at most the greatest that the processor has. The greatest is taken unless this is called.
void ck_use_level(int level);
// Whether `ck_add_pairs` is quicker than `ck_add_groups`: it needs vectors to make pairs of.
bool ck_pairs_pay(void);

// Starts to bring memory into the second-level cache. Never faults.
static inline void ck_prefetch(const void *start, size_t bytes) {
    for (size_t at = 0; at < bytes; at += 64) __builtin_prefetch((const char *)start + at, 0, 2);
}

// MARK: Unpacking (see BitPacking.swift)

// Writes as many planes as a lane has bits, of `lanes` codes each.
void ck_unpack8(const uint8_t *words, size_t lanes, int bits, uint8_t *out);
void ck_unpack16(const uint16_t *words, size_t lanes, int bits, uint16_t *out);
void ck_unpack32(const uint32_t *words, size_t lanes, int bits, uint32_t *out);
// Of ascending rows of a chunk, none of them below `start`, those that are below `start + block_rows`, less `start`. Returns how
// many they are. `out` has room for 32 more.
size_t ck_narrow_rows(const uint32_t *rows, size_t n, uint32_t start, uint32_t block_rows, uint16_t *out);

// MARK: Filters

// Codes from `start` to `start + span`, or with `inverted` all others.
void ck_within8(const uint8_t *codes, size_t n, uint8_t start, uint8_t span, bool inverted, uint64_t *bits);
void ck_within16(const uint16_t *codes, size_t n, uint16_t start, uint16_t span, bool inverted, uint64_t *bits);
void ck_within32(const uint32_t *codes, size_t n, uint32_t start, uint32_t span, bool inverted, uint64_t *bits);
void ck_within64(const uint64_t *codes, size_t n, uint64_t start, uint64_t span, bool inverted, uint64_t *bits);
// Codes that are one of a few.
void ck_equals8(const uint8_t *codes, size_t n, const uint8_t *keys, size_t key_count, uint64_t *bits);
void ck_equals16(const uint16_t *codes, size_t n, const uint16_t *keys, size_t key_count, uint64_t *bits);
void ck_equals32(const uint32_t *codes, size_t n, const uint32_t *keys, size_t key_count, uint64_t *bits);
// Codes whose verdict, 0 or 1, is 1.
void ck_judge8(const uint8_t *codes, size_t n, const uint8_t *verdicts, uint64_t *bits);
void ck_judge16(const uint16_t *codes, size_t n, const uint8_t *verdicts, uint64_t *bits);
void ck_judge32(const uint32_t *codes, size_t n, const uint8_t *verdicts, uint64_t *bits);

// MARK: Bit masks

size_t ck_count_bits(const uint64_t *bits, size_t n);
void ck_and_bits(uint64_t *bits, const uint64_t *other, size_t n);
void ck_or_bits(uint64_t *bits, const uint64_t *other, size_t n);
// Rows whose bits are set, ascending, and how many they are. `out` has room for 64 more.
size_t ck_positions(const uint64_t *bits, size_t n, uint16_t *out);
// The elements whose bits are set. `out` has room for 64 more.
void ck_select8(const uint8_t *source, size_t n, const uint64_t *bits, uint8_t *out);
void ck_select16(const uint16_t *source, size_t n, const uint64_t *bits, uint16_t *out);
void ck_select32(const uint32_t *source, size_t n, const uint64_t *bits, uint32_t *out);
void ck_select64(const uint64_t *source, size_t n, const uint64_t *bits, uint64_t *out);
// Where `count` listed rows, those of them whose bits are set, lie among all whose bits are set. Returns how many they are.
// `out` has room for one more.
size_t ck_select_rows(const uint16_t *rows, size_t count, size_t n, const uint64_t *bits, uint16_t *out);

// MARK: Groups

// ids = codes * step + offset, or with `adds` that much more.
void ck_digits8_8(uint8_t *ids, const uint8_t *codes, size_t n, uint32_t step, uint32_t offset, bool adds);
void ck_digits16_8(uint16_t *ids, const uint8_t *codes, size_t n, uint32_t step, uint32_t offset, bool adds);
void ck_digits16_16(uint16_t *ids, const uint16_t *codes, size_t n, uint32_t step, uint32_t offset, bool adds);
void ck_digits32_8(uint32_t *ids, const uint8_t *codes, size_t n, uint32_t step, uint32_t offset, bool adds);
void ck_digits32_16(uint32_t *ids, const uint16_t *codes, size_t n, uint32_t step, uint32_t offset, bool adds);
void ck_digits32_32(uint32_t *ids, const uint32_t *codes, size_t n, uint32_t step, uint32_t offset, bool adds);

// sums[id] += code * scale + offset, in four copies of `sums`, `copy` numbers apart, of which only the sum means something;
// or in one, where `copy` is 0.
void ck_add_groups8_8(uint64_t *sums, size_t copy, const uint8_t *ids, const uint8_t *codes, size_t n, uint64_t scale, uint64_t offset);
void ck_add_groups8_16(uint64_t *sums, size_t copy, const uint8_t *ids, const uint16_t *codes, size_t n, uint64_t scale, uint64_t offset);
void ck_add_groups8_32(uint64_t *sums, size_t copy, const uint8_t *ids, const uint32_t *codes, size_t n, uint64_t scale, uint64_t offset);
void ck_add_groups16_8(uint64_t *sums, size_t copy, const uint16_t *ids, const uint8_t *codes, size_t n, uint64_t scale, uint64_t offset);
void ck_add_groups16_16(uint64_t *sums, size_t copy, const uint16_t *ids, const uint16_t *codes, size_t n, uint64_t scale, uint64_t offset);
void ck_add_groups16_32(uint64_t *sums, size_t copy, const uint16_t *ids, const uint32_t *codes, size_t n, uint64_t scale, uint64_t offset);
void ck_add_groups32_8(uint64_t *sums, size_t copy, const uint32_t *ids, const uint8_t *codes, size_t n, uint64_t scale, uint64_t offset);
void ck_add_groups32_16(uint64_t *sums, size_t copy, const uint32_t *ids, const uint16_t *codes, size_t n, uint64_t scale, uint64_t offset);
void ck_add_groups32_32(uint64_t *sums, size_t copy, const uint32_t *ids, const uint32_t *codes, size_t n, uint64_t scale, uint64_t offset);

// As above, for rows of which many neighbours are of one group: they are added up first.
void ck_add_runs8_8(uint64_t *sums, const uint8_t *ids, const uint8_t *codes, size_t n, uint64_t scale, uint64_t offset);
void ck_add_runs8_16(uint64_t *sums, const uint8_t *ids, const uint16_t *codes, size_t n, uint64_t scale, uint64_t offset);
void ck_add_runs8_32(uint64_t *sums, const uint8_t *ids, const uint32_t *codes, size_t n, uint64_t scale, uint64_t offset);
void ck_add_runs16_8(uint64_t *sums, const uint16_t *ids, const uint8_t *codes, size_t n, uint64_t scale, uint64_t offset);
void ck_add_runs16_16(uint64_t *sums, const uint16_t *ids, const uint16_t *codes, size_t n, uint64_t scale, uint64_t offset);
void ck_add_runs16_32(uint64_t *sums, const uint16_t *ids, const uint32_t *codes, size_t n, uint64_t scale, uint64_t offset);
void ck_add_runs32_8(uint64_t *sums, const uint32_t *ids, const uint8_t *codes, size_t n, uint64_t scale, uint64_t offset);
void ck_add_runs32_16(uint64_t *sums, const uint32_t *ids, const uint16_t *codes, size_t n, uint64_t scale, uint64_t offset);
void ck_add_runs32_32(uint64_t *sums, const uint32_t *ids, const uint32_t *codes, size_t n, uint64_t scale, uint64_t offset);

// Two rows with one addition, to their pair of groups: table[id + groups * next id] += code | next code << width | 1 << 2 *
// width. The rows are even in number, and no field overflows: `ck_flush_pairs` comes before.
void ck_add_pairs8(uint64_t *table, uint32_t groups, int width, const uint8_t *ids, const uint8_t *codes, size_t n);
void ck_add_pairs16(uint64_t *table, uint32_t groups, int width, const uint8_t *ids, const uint16_t *codes, size_t n);
// Adds up the table's pairs by group, and clears it.
void ck_flush_pairs(uint64_t *table, uint32_t groups, int width, uint64_t *sums, uint64_t *counts);

// sums[id] += number for each of some listed rows.
void ck_add_listed8(uint64_t *sums, const uint8_t *ids, const uint16_t *rows, size_t count, uint64_t number);
void ck_add_listed16(uint64_t *sums, const uint16_t *ids, const uint16_t *rows, size_t count, uint64_t number);
void ck_add_listed32(uint64_t *sums, const uint32_t *ids, const uint16_t *rows, size_t count, uint64_t number);

// counters[code * step] += 1, in four copies like those of `ck_add_groups`.
void ck_count8(uint32_t *counters, size_t copy, const uint8_t *codes, size_t n, size_t step);
void ck_count16(uint32_t *counters, size_t copy, const uint16_t *codes, size_t n, size_t step);
void ck_count32(uint32_t *counters, size_t copy, const uint32_t *codes, size_t n, size_t step);

// seen[code * step] = 1, which is 0 or 1 before. Three bytes beyond the last that is meant are readable.
void ck_mark8(uint8_t *seen, const uint8_t *codes, size_t n, size_t step);
void ck_mark16(uint8_t *seen, const uint16_t *codes, size_t n, size_t step);
void ck_mark32(uint8_t *seen, const uint32_t *codes, size_t n, size_t step);

// MARK: Numbers

uint64_t ck_sum8(const uint8_t *codes, size_t n);
uint64_t ck_sum16(const uint16_t *codes, size_t n);
uint64_t ck_sum32(const uint32_t *codes, size_t n);
// The least and greatest of at least one code.
void ck_bounds8(const uint8_t *codes, size_t n, uint8_t *low, uint8_t *high);
void ck_bounds16(const uint16_t *codes, size_t n, uint16_t *low, uint16_t *high);
void ck_bounds32(const uint32_t *codes, size_t n, uint32_t *low, uint32_t *high);

// base + scale * code, both below 2^31 in magnitude.
void ck_doubles8(const uint8_t *codes, size_t n, double base, double scale, double *out);
void ck_doubles16(const uint16_t *codes, size_t n, double base, double scale, double *out);
// Reckoned in 64-bit integers, wrapping, before it is rounded.
void ck_doubles32(const uint32_t *codes, size_t n, int64_t base, int64_t scale, double *out);
void ck_doubles64(const int64_t *integers, size_t n, double *out);

void ck_add(double *a, const double *b, size_t n);
void ck_subtract(double *a, const double *b, size_t n);
void ck_multiply(double *a, const double *b, size_t n);
void ck_divide(double *a, const double *b, size_t n);
void ck_add_number(double *a, double b, size_t n);
void ck_subtract_number(double *a, double b, size_t n);
void ck_multiply_number(double *a, double b, size_t n);
void ck_divide_number(double *a, double b, size_t n);
// Sets the bits of rows that are 0 or -0; whether there was one. Other bits stay.
bool ck_mark_zeros(const double *a, size_t n, uint64_t *bits);

// Eight compensated sums: of rows 0, 8, 16 and so on, of rows 1, 9 and so on; `n` is a multiple of 8. Adds to `highs` and `lows`.
void ck_sum_doubles(const double *a, size_t n, double *highs, double *lows);
// The least or greatest of at least eight by plain comparison, and whether all are finite: else it means nothing. Which zero it
// is, if it is one, is not said.
bool ck_extreme_double(const double *a, size_t n, bool is_min, double *found);

// MD5 of as many messages at a time.
#define CK_MD5_LANES 8
// `blocks`: a padded block of 64 bytes for each message; `first_words`: the first word of each digest.
void ck_md5_first_words(const uint8_t *blocks, uint32_t *first_words);

#endif
