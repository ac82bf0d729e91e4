// Chooses the loops that the processor is best at, and passes calls on to them.
#include "table.h"

#include <stdatomic.h>

static const struct ck_table *at_level(int level) {
#if defined(__x86_64__)
    if (level >= 2) return &ck_avx512;
    if (level == 1) return &ck_avx2;
#endif
    (void)level;
    return &ck_portable;
}

static _Atomic(const struct ck_table *) chosen = &ck_portable;

int ck_level_max(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2") ||
        !__builtin_cpu_supports("popcnt"))
        return 0;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vbmi2"))
        return 1;
    return 2;
#else
    return 0;
#endif
}

void ck_use_level(int level) {
    int greatest = ck_level_max();
    atomic_store_explicit(&chosen, at_level(level < greatest ? level : greatest), memory_order_relaxed);
}

bool ck_pairs_pay(void) {
#if defined(__x86_64__)
    return atomic_load_explicit(&chosen, memory_order_relaxed) == &ck_avx512;
#else
    return false;
#endif
}

__attribute__((constructor)) static void choose(void) { ck_use_level(ck_level_max()); }

#define CK_FUNCTION(result, name, parameters, arguments)                                                                \
    result ck_##name parameters { return atomic_load_explicit(&chosen, memory_order_relaxed)->name arguments; }
CK_ALL(CK_FUNCTION)
