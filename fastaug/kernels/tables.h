/* Bytes through tables of 256: one for all channels, or one for each of three. */
#ifndef FASTAUG_TABLES_H
#define FASTAUG_TABLES_H

#include <stddef.h>
#include <stdint.h>

#include "platform.h"
#include "simd.h"

#ifdef FA_AVX2
#define FA_TARGET_VBMI __attribute__((target("avx2,avx512f,avx512bw,avx512vbmi")))

/* Quarters of a table, each in a register. */
typedef struct {
    __m512i quarter[4];
} fa_wide_table;

FA_INLINE FA_TARGET_VBMI void fa_load_table(const uint8_t *table, fa_wide_table *wide)
{
    int k;
    for (k = 0; k < 4; k++) wide->quarter[k] = _mm512_loadu_si512(table + 64 * k);
}

FA_INLINE FA_TARGET_VBMI __m512i fa_map_wide(__m512i x, const fa_wide_table *wide)
{
    const __m512i low = _mm512_permutex2var_epi8(wide->quarter[0], x, wide->quarter[1]);
    const __m512i high = _mm512_permutex2var_epi8(wide->quarter[2], x, wide->quarter[3]);
    return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(x), high);
}

FA_TARGET_VBMI static void fa_map_vbmi(uint8_t *x, ptrdiff_t size, const uint8_t *table)
{
    fa_wide_table wide;
    ptrdiff_t i;
    fa_load_table(table, &wide);
    for (i = 0; i < size; i += 64) {
        const __mmask64 mask = size - i < 64 ? ~(~UINT64_C(0) << (size - i)) : ~UINT64_C(0);
        const __m512i v = _mm512_maskz_loadu_epi8(mask, x + i);
        _mm512_mask_storeu_epi8(x + i, mask, fa_map_wide(v, &wide));
    }
}

FA_TARGET_VBMI static void fa_map_three_vbmi(uint8_t *x, ptrdiff_t size,
                                                 const uint8_t (*tables)[256])
{
    const uint64_t third = UINT64_C(0x9249249249249249); /* every third bit */
    fa_wide_table wide[3];
    ptrdiff_t i;
    int k;
    for (k = 0; k < 3; k++) fa_load_table(tables[k], &wide[k]);
    for (i = 0, k = 0; i < size; i += 64, k = (k + 1) % 3) {
        /* value j of the vector belongs to channel (j + k) % 3, as 64 % 3 is 1 */
        const __mmask64 mask = size - i < 64 ? ~(~UINT64_C(0) << (size - i)) : ~UINT64_C(0);
        const __m512i v = _mm512_maskz_loadu_epi8(mask, x + i);
        __m512i out = fa_map_wide(v, &wide[0]);
        out = _mm512_mask_mov_epi8(out, third << (4 - k) % 3, fa_map_wide(v, &wide[1]));
        out = _mm512_mask_mov_epi8(out, third << (5 - k) % 3, fa_map_wide(v, &wide[2]));
        _mm512_mask_storeu_epi8(x + i, mask, out);
    }
}

/* The first of the bytes; returns how many. */
FA_TARGET_AVX2 static ptrdiff_t fa_map_avx2(uint8_t *x, ptrdiff_t size, const uint8_t *table)
{
    const __m256i sixteen = _mm256_set1_epi8(16), above = _mm256_set1_epi8(0x70);
    __m256i part[16];
    ptrdiff_t i;
    int k;
    for (k = 0; k < 16; k++)
        part[k] = _mm256_broadcastsi128_si256(
            _mm_loadu_si128((const __m128i *)(const void *)(table + 16 * k)));
    for (i = 0; i + 32 <= size; i += 32) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(x + i));
        __m256i out = _mm256_setzero_si256();
        for (k = 0; k < 16; k++) { /* a shuffle makes 0 of what is not below 16 */
            out = _mm256_or_si256(out, _mm256_shuffle_epi8(part[k], _mm256_adds_epu8(v, above)));
            v = _mm256_sub_epi8(v, sixteen);
        }
        _mm256_storeu_si256((__m256i *)(void *)(x + i), out);
    }
    return i;
}
#endif

/* x: The bytes, which change. */
static void fa_map_bytes(uint8_t *FA_RESTRICT x, ptrdiff_t size, const uint8_t *FA_RESTRICT table)
{
    ptrdiff_t i = 0;
#ifdef FA_AVX2
    if (fa_simd >= FA_SIMD_AVX512 && __builtin_cpu_supports("avx512vbmi")) {
        fa_map_vbmi(x, size, table);
        return;
    }
    if (fa_simd >= FA_SIMD_AVX2) i = fa_map_avx2(x, size, table);
#endif
    for (; i < size; i++) x[i] = table[x[i]];
}

/* The same with a table for each of three channels. */
static void fa_map_three(uint8_t *FA_RESTRICT x, ptrdiff_t size, const uint8_t (*tables)[256])
{
    ptrdiff_t i;
#ifdef FA_AVX2
    if (fa_simd >= FA_SIMD_AVX512 && __builtin_cpu_supports("avx512vbmi")) {
        fa_map_three_vbmi(x, size, tables);
        return;
    }
#endif
    for (i = 0; i < size; i += 3) {
        x[i] = tables[0][x[i]];
        x[i + 1] = tables[1][x[i + 1]];
        x[i + 2] = tables[2][x[i + 2]];
    }
}

#endif
