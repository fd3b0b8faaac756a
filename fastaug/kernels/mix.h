/* Two images of a batch made one: blended, or a box of one put into the other. */
#ifndef FASTAUG_MIX_H
#define FASTAUG_MIX_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "platform.h"
#include "simd.h"

/* Columns of a mix: the part of the image itself, and the box that comes from the other: rows [top,
 * bottom), columns [left, right). NaN in the top: the images are blended. */
enum fa_mix_column { FA_MIX_PART, FA_MIX_TOP, FA_MIX_LEFT, FA_MIX_BOTTOM, FA_MIX_RIGHT, FA_MIX_COLUMNS };

#define FA_PART_BITS 15  /* of the part of an image of bytes */

#ifdef FA_AVX2
/* fa_blend_bytes, of the first of some bytes; returns how many. part: Less than 1. */
FA_TARGET_AVX2 static ptrdiff_t fa_blend_bytes_avx2(uint8_t *FA_RESTRICT x,
                                                    const uint8_t *FA_RESTRICT other, ptrdiff_t size,
                                                    int16_t part)
{
    const __m256i parts = _mm256_set1_epi16(part), zero = _mm256_setzero_si256();
    ptrdiff_t i;
    for (i = 0; i + 32 <= size; i += 32) {
        const __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(x + i));
        const __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(other + i));
        const __m256i low = _mm256_unpacklo_epi8(b, zero), high = _mm256_unpackhi_epi8(b, zero);
        const __m256i to_low = _mm256_sub_epi16(_mm256_unpacklo_epi8(a, zero), low);
        const __m256i to_high = _mm256_sub_epi16(_mm256_unpackhi_epi8(a, zero), high);
        _mm256_storeu_si256((__m256i *)(void *)(x + i), _mm256_packus_epi16(
            _mm256_add_epi16(low, _mm256_mulhrs_epi16(to_low, parts)),
            _mm256_add_epi16(high, _mm256_mulhrs_epi16(to_high, parts))));
    }
    return i;
}
#endif

/* x = part * x + (1 - part) * other, rounded; the part to FA_PART_BITS. */
FA_CLONES static void fa_blend_bytes(uint8_t *FA_RESTRICT x, const uint8_t *FA_RESTRICT other,
                                     ptrdiff_t size, double part)
{
    const int32_t one = 1 << FA_PART_BITS, whole = (int32_t)(part * one + 0.5);
    ptrdiff_t i = 0;
    if (whole >= one) return;
#ifdef FA_AVX2
    if (fa_simd >= FA_SIMD_AVX2) i = fa_blend_bytes_avx2(x, other, size, (int16_t)whole);
#endif
    for (; i < size; i++)
        x[i] = (uint8_t)(other[i] + (((x[i] - other[i]) * whole + one / 2) >> FA_PART_BITS));
}

FA_CLONES static void fa_blend_floats(float *FA_RESTRICT x, const float *FA_RESTRICT other,
                                      ptrdiff_t size, float part)
{
    ptrdiff_t i;
    for (i = 0; i < size; i++) x[i] = part * x[i] + (1 - part) * other[i];
}

/* Mixes an image with another.
 *
 * shape: Planes of the image, rows of each, and bytes of a row and of a pixel of it.
 * is_bytes: Whether values are uint8; else float32.
 * p: The columns of the mix. */
static void fa_mix(char *image, const char *other, const ptrdiff_t *shape, int is_bytes, const double *p)
{
    const ptrdiff_t planes = shape[0], rows = shape[1], row = shape[2], pixel = shape[3];
    ptrdiff_t plane, i;
    if (isnan(p[FA_MIX_TOP])) {
        const ptrdiff_t bytes = planes * rows * row;
        if (is_bytes)
            fa_blend_bytes((uint8_t *)image, (const uint8_t *)other, bytes, p[FA_MIX_PART]);
        else
            fa_blend_floats((float *)(void *)image, (const float *)(const void *)other,
                            bytes / (ptrdiff_t)sizeof(float), (float)p[FA_MIX_PART]);
        return;
    }
    for (plane = 0; plane < planes; plane++)
        for (i = (ptrdiff_t)p[FA_MIX_TOP]; i < (ptrdiff_t)p[FA_MIX_BOTTOM]; i++) {
            const ptrdiff_t at = (plane * rows + i) * row + (ptrdiff_t)p[FA_MIX_LEFT] * pixel;
            const ptrdiff_t width = (ptrdiff_t)p[FA_MIX_RIGHT] - (ptrdiff_t)p[FA_MIX_LEFT];
            memcpy(image + at, other + at, (size_t)(width * pixel));
        }
}

#endif
