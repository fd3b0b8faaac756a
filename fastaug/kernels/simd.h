/* Which vector instructions the loops use: the best that the processor has, unless another is chosen.
 *
 * The loops with AVX2, AVX-512 and NEON do the same operations on the same floats as the plain ones, so
 * they give the same bits. */
#ifndef FASTAUG_SIMD_H
#define FASTAUG_SIMD_H

#if defined(__GNUC__) && defined(__x86_64__)
#define FA_AVX2 1
#include <immintrin.h>
#define FA_TARGET_AVX2 __attribute__((target("avx2")))
#define FA_TARGET_AVX512 __attribute__((target("avx2,avx512f,avx512bw")))
#elif defined(__GNUC__) && defined(__aarch64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define FA_NEON 1
#include <arm_neon.h>
#endif

/* Those that there are for a kind of processor, each better than the one before, and their names. */
#ifdef FA_NEON
enum fa_variant { FA_SIMD_PLAIN, FA_SIMD_NEON, FA_VARIANTS };
static const char *const fa_variant_names[FA_VARIANTS] = {"plain", "neon"};
#else
enum fa_variant { FA_SIMD_PLAIN, FA_SIMD_AVX2, FA_SIMD_AVX512, FA_VARIANTS };
static const char *const fa_variant_names[FA_VARIANTS] = {"plain", "avx2", "avx512"};
#endif
static int fa_simd = FA_SIMD_PLAIN;

/* The best variant that this processor runs. */
static int fa_best_simd(void)
{
#ifdef FA_AVX2
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            ? FA_SIMD_AVX512 : FA_SIMD_AVX2;
#elif defined(FA_NEON)
    return FA_SIMD_NEON; /* every processor of this kind has it */
#endif
    return FA_SIMD_PLAIN;
}

#endif
