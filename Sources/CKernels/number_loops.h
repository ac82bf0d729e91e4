// The part of the loops that is about numbers: sums and extremes of codes, arithmetic with doubles.

// MARK: Codes

#define CK_SUM_LOOPS(C, P)                                                                                              \
    static uint64_t sum##C(const uint##C##_t *codes, size_t n) {                                                        \
        uint##P##_t sum = 0;                                                                                            \
        for (size_t i = 0; i < n; i++) sum += codes[i];                                                                 \
        return sum;                                                                                                     \
    }                                                                                                                   \
    static void bounds##C(const uint##C##_t *codes, size_t n, uint##C##_t *low, uint##C##_t *high) {                    \
        uint##C##_t least = codes[0], greatest = codes[0];                                                              \
        for (size_t i = 1; i < n; i++) {                                                                                \
            least = codes[i] < least ? codes[i] : least;                                                                \
            greatest = codes[i] > greatest ? codes[i] : greatest;                                                       \
        }                                                                                                               \
        *low = least;                                                                                                   \
        *high = greatest;                                                                                               \
    }
// A block's 8,192 codes of up to 16 bits add up to less than 2^32.
CK_SUM_LOOPS(8, 32)
CK_SUM_LOOPS(16, 32)
CK_SUM_LOOPS(32, 64)

static void doubles8(const uint8_t *restrict codes, size_t n, double base, double scale, double *restrict out) {
    for (size_t i = 0; i < n; i++) out[i] = base + scale * (int32_t)codes[i];
}

static void doubles16(const uint16_t *restrict codes, size_t n, double base, double scale, double *restrict out) {
    for (size_t i = 0; i < n; i++) out[i] = base + scale * (int32_t)codes[i];
}

static void doubles32(const uint32_t *restrict codes, size_t n, int64_t base, int64_t scale, double *restrict out) {
    for (size_t i = 0; i < n; i++) out[i] = (double)(int64_t)((uint64_t)base + (uint64_t)scale * codes[i]);
}

static void doubles64(const int64_t *restrict integers, size_t n, double *restrict out) {
    for (size_t i = 0; i < n; i++) out[i] = (double)integers[i];
}

// MARK: Arithmetic

#define CK_ARITHMETIC_LOOPS(name, operation)                                                                            \
    static void name(double *restrict a, const double *restrict b, size_t n) {                                          \
        for (size_t i = 0; i < n; i++) a[i] = a[i] operation b[i];                                                      \
    }                                                                                                                   \
    static void name##_number(double *a, double b, size_t n) {                                                          \
        for (size_t i = 0; i < n; i++) a[i] = a[i] operation b;                                                         \
    }
CK_ARITHMETIC_LOOPS(add, +)
CK_ARITHMETIC_LOOPS(subtract, -)
CK_ARITHMETIC_LOOPS(multiply, *)
CK_ARITHMETIC_LOOPS(divide, /)

static bool mark_zeros(const double *a, size_t n, uint64_t *bits) {
    uint64_t any = 0;
    size_t w = 0;
    for (; w < n / 64; w++) {
        uint64_t word = CK_WORD(*(const numbers64 *)(a + 64 * w) == (numbers64)0.0);
        bits[w] |= word;
        any |= word;
    }
    if (n % 64) {
        double last[64] = {0};
        memcpy(last, a + 64 * w, n % 64 * sizeof(double));
        uint64_t word = CK_WORD(*(const numbers64 *)last == (numbers64)0.0) & (((uint64_t)1 << n % 64) - 1);
        bits[w] |= word;
        any |= word;
    }
    return any != 0;
}

// What an addition loses is worked out without looking which of both was larger (Knuth's two-sum).
static void sum_doubles(const double *a, size_t n, double *highs, double *lows) {
    numbers8 high = *(numbers8 *)highs, low = *(numbers8 *)lows;
    for (size_t i = 0; i + 8 <= n; i += 8) {
        numbers8 next = *(const numbers8 *)(a + i), sum = high + next, shadow = sum - high;
        low += (high - (sum - shadow)) + (next - shadow);
        high = sum;
    }
    *(numbers8 *)highs = high;
    *(numbers8 *)lows = low;
}

static bool extreme_double(const double *a, size_t n, bool is_min, double *found) {
    numbers8 best = *(const numbers8 *)a, odd = 0;
    for (size_t i = 0; i < n; i += 8) {
        // The last eight may overlap those before: that changes neither.
        numbers8 next = *(const numbers8 *)(a + (i + 8 <= n ? i : n - 8));
        best = is_min ? __builtin_elementwise_min(best, next) : __builtin_elementwise_max(best, next);
        odd += next - next;  // 0, or NaN for ever
    }
    double least = best[0], rest = odd[0];
    for (int lane = 1; lane < 8; lane++) {
        least = is_min ? (best[lane] < least ? best[lane] : least) : (best[lane] > least ? best[lane] : least);
        rest += odd[lane];
    }
    *found = least;
    return rest == 0;
}
