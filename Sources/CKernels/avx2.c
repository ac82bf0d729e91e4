// The loops for processors with AVX2.
#include "table.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt"))), apply_to = function)
#define CK_TABLE ck_avx2
#include "loops.h"
#pragma clang attribute pop
#endif
