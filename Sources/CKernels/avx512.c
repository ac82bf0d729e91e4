// The loops for processors with AVX-512 and its instructions that compress vectors of bytes.
#include "table.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(                                                                                           \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi2,bmi,bmi2,lzcnt,popcnt"))), apply_to = function)
#define CK_TABLE ck_avx512
#define CK_AVX512 1
#include "loops.h"
#pragma clang attribute pop
#endif
