/* Ops on the channels of pixels of three bytes, with AVX2: thirty-two at a time. */
#ifndef FASTAUG_COLOUR_AVX2_H
#define FASTAUG_COLOUR_AVX2_H

#include <stddef.h>
#include <stdint.h>

#include "planes.h"
#include "platform.h"
#include "simd.h"

#ifdef FA_AVX2

/* Four vectors of whole numbers for thirty-two bytes, and back: those of the first and the third quarter
 * of each half of the bytes, and so on. */
FA_INLINE FA_TARGET_AVX2 void fa_widen_bytes(__m256i bytes, __m256i *whole)
{
    const __m256i zero = _mm256_setzero_si256();
    const __m256i low = _mm256_unpacklo_epi8(bytes, zero), high = _mm256_unpackhi_epi8(bytes, zero);
    whole[0] = _mm256_unpacklo_epi16(low, zero);
    whole[1] = _mm256_unpackhi_epi16(low, zero);
    whole[2] = _mm256_unpacklo_epi16(high, zero);
    whole[3] = _mm256_unpackhi_epi16(high, zero);
}

FA_INLINE FA_TARGET_AVX2 __m256i fa_narrow_to_bytes(const __m256i *whole)
{
    return _mm256_packus_epi16(_mm256_packs_epi32(whole[0], whole[1]),
                               _mm256_packs_epi32(whole[2], whole[3]));
}

/* The grey of pixels, see fa_grey_byte, in the order of fa_widen_bytes. */
FA_INLINE FA_TARGET_AVX2 void fa_grey_avx2(const __m256i *channels, __m256i *grey)
{
    const __m256i zero = _mm256_setzero_si256();
    const __m256i red_green = _mm256_set1_epi32(5870 << 16 | 2989), blue = _mm256_set1_epi32(1140);
    const __m256 scale = _mm256_set1_ps(1e-4f);
    int half, k;
    for (half = 0; half < 2; half++) {
        const __m256i r = half ? _mm256_unpackhi_epi8(channels[0], zero)
            : _mm256_unpacklo_epi8(channels[0], zero);
        const __m256i g = half ? _mm256_unpackhi_epi8(channels[1], zero)
            : _mm256_unpacklo_epi8(channels[1], zero);
        const __m256i b = half ? _mm256_unpackhi_epi8(channels[2], zero)
            : _mm256_unpacklo_epi8(channels[2], zero);
        for (k = 0; k < 2; k++) {
            const __m256i pairs = k ? _mm256_unpackhi_epi16(r, g) : _mm256_unpacklo_epi16(r, g);
            const __m256i rest = k ? _mm256_unpackhi_epi16(b, zero) : _mm256_unpacklo_epi16(b, zero);
            const __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(pairs, red_green),
                                                 _mm256_madd_epi16(rest, blue));
            /* exact for every sum that there is, but for the fraction */
            grey[2 * half + k] = _mm256_cvttps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale));
        }
    }
}

/* Makes the first of some pixels grey; returns how many. */
FA_TARGET_AVX2 static ptrdiff_t fa_whiten_avx2(uint8_t *x, ptrdiff_t pixels)
{
    ptrdiff_t i;
    for (i = 0; i + 32 <= pixels; i += 32) {
        __m256i channels[3], grey[4];
        fa_split_pixels(x + 3 * i, channels);
        fa_grey_avx2(channels, grey);
        channels[0] = channels[1] = channels[2] = fa_narrow_to_bytes(grey);
        fa_join_pixels(channels, x + 3 * i);
    }
    return i;
}

/* Adds the grey of the first of some pixels, at most FA_SUMMED, to a sum; returns how many. */
FA_TARGET_AVX2 static ptrdiff_t fa_sum_grey_avx2(const uint8_t *x, ptrdiff_t pixels, double *sum)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i sums = zero;
    int64_t parts[4];
    ptrdiff_t i;
    for (i = 0; i + 32 <= pixels; i += 32) {
        __m256i channels[3], grey[4];
        fa_split_pixels(x + 3 * i, channels);
        fa_grey_avx2(channels, grey);
        sums = _mm256_add_epi64(sums, _mm256_sad_epu8(fa_narrow_to_bytes(grey), zero));
    }
    _mm256_storeu_si256((__m256i *)(void *)parts, sums);
    *sum += (double)(parts[0] + parts[1] + parts[2] + parts[3]);
    return i;
}

/* Blends the first of some pixels with their grey; returns how many.
 *
 * factor: Of the pixels; a product with a byte has to be a whole number of 32 bits. */
FA_TARGET_AVX2 static ptrdiff_t fa_saturate_avx2(double factor, uint8_t *x, ptrdiff_t pixels)
{
    const __m256 factors = _mm256_set1_ps((float)factor), rest = _mm256_set1_ps((float)(1 - factor));
    ptrdiff_t i;
    for (i = 0; i + 32 <= pixels; i += 32) {
        __m256i channels[3], whole[4];
        __m256 grey[4];
        int c, k;
        fa_split_pixels(x + 3 * i, channels);
        fa_grey_avx2(channels, whole);
        for (k = 0; k < 4; k++) grey[k] = _mm256_mul_ps(rest, _mm256_cvtepi32_ps(whole[k]));
        for (c = 0; c < 3; c++) {
            fa_widen_bytes(channels[c], whole);
            for (k = 0; k < 4; k++)
                whole[k] = _mm256_cvttps_epi32(_mm256_add_ps(
                    _mm256_mul_ps(_mm256_cvtepi32_ps(whole[k]), factors), grey[k]));
            channels[c] = fa_narrow_to_bytes(whole);
        }
        fa_join_pixels(channels, x + 3 * i);
    }
    return i;
}

#endif

#endif
