/* Which vector instructions the loops use: the best that the processor has, unless another is chosen.
 *
 * The loops with AVX2 and AVX-512 do the same operations on the same floats as the plain ones, so they
 * give the same bits. */
#ifndef FASTAUG_SIMD_H
#define FASTAUG_SIMD_H

#if defined(__GNUC__) && defined(__x86_64__)
#define FA_AVX2 1
#include <immintrin.h>
#define FA_TARGET_AVX2 __attribute__((target("avx2")))
#define FA_TARGET_AVX512 __attribute__((target("avx2,avx512f,avx512bw")))
#endif

enum fa_variant { FA_SIMD_PLAIN, FA_SIMD_AVX2, FA_SIMD_AVX512 };
static int fa_simd = FA_SIMD_PLAIN;

/* The best variant that this processor runs. */
static int fa_best_simd(void)
{
#ifdef FA_AVX2
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            ? FA_SIMD_AVX512 : FA_SIMD_AVX2;
#endif
    return FA_SIMD_PLAIN;
}

#endif
