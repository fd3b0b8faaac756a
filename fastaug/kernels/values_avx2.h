/* Extrema and bytes of values, with AVX2. */
#ifndef FASTAUG_VALUES_AVX2_H
#define FASTAUG_VALUES_AVX2_H

#include <stddef.h>
#include <stdint.h>

#include "platform.h"
#include "simd.h"

#ifdef FA_AVX2

/* Adds a multiple of sixteen values to the extrema; returns whether there is a NaN among them. */
FA_TARGET_AVX2 static int fa_extrema_avx2(const float *FA_RESTRICT x, ptrdiff_t size,
                                          float *FA_RESTRICT low, float *FA_RESTRICT high)
{
    __m256 lo0 = _mm256_loadu_ps(low), lo1 = _mm256_loadu_ps(low + 8);
    __m256 hi0 = _mm256_loadu_ps(high), hi1 = _mm256_loadu_ps(high + 8);
    __m256 odd = _mm256_setzero_ps();
    ptrdiff_t i;
    for (i = 0; i + 16 <= size; i += 16) {
        const __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + 8);
        lo0 = _mm256_min_ps(a, lo0);
        lo1 = _mm256_min_ps(b, lo1);
        hi0 = _mm256_max_ps(a, hi0);
        hi1 = _mm256_max_ps(b, hi1);
        odd = _mm256_or_ps(odd, _mm256_cmp_ps(a, b, _CMP_UNORD_Q));
    }
    _mm256_storeu_ps(low, lo0);
    _mm256_storeu_ps(low + 8, lo1);
    _mm256_storeu_ps(high, hi0);
    _mm256_storeu_ps(high + 8, hi1);
    return _mm256_movemask_ps(odd) != 0;
}

/* Stores thirty-two bytes at a time; returns how many values that was. */
FA_TARGET_AVX2 static ptrdiff_t fa_store_bytes_avx2(const float *FA_RESTRICT x, ptrdiff_t size,
                                                    float half, uint8_t *FA_RESTRICT out)
{
    const __m256 most = _mm256_set1_ps(255), halves = _mm256_set1_ps(half);
    const __m256i fours = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    ptrdiff_t i;
/* The minimum of NaN is NaN; that and what is far below 0 become the smallest of integers. */
#define FA_LEVELS(at) \
    _mm256_cvttps_epi32(_mm256_min_ps(most, _mm256_add_ps(_mm256_loadu_ps(at), halves)))
    for (i = 0; i + 32 <= size; i += 32) {
        const __m256i a = _mm256_packs_epi32(FA_LEVELS(x + i), FA_LEVELS(x + i + 8));
        const __m256i b = _mm256_packs_epi32(FA_LEVELS(x + i + 16), FA_LEVELS(x + i + 24));
        const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), fours);
        _mm256_storeu_si256((__m256i *)(void *)(out + i), bytes);
    }
#undef FA_LEVELS
    return i;
}

/* Sixteen bytes as numbers of 16 bits, and back, clipped. */
FA_INLINE FA_TARGET_AVX2 __m256i fa_wide_u8(const uint8_t *p)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}

FA_INLINE FA_TARGET_AVX2 void fa_store_u8(__m256i values, uint8_t *p)
{
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(values, values), 0x08);
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_castsi256_si128(bytes));
}

#endif

#endif
