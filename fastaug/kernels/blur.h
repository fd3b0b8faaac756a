/* Gaussian blur: down and then across, as floats, or as whole numbers where an image is of bytes. */
#ifndef FASTAUG_BLUR_H
#define FASTAUG_BLUR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "canvas.h"
#include "platform.h"
#include "simd.h"

#define FA_BLUR_REACH 127   /* pixels on each side that a blurred one is made of, at most */
#define FA_BLUR_PARTS 14    /* bits of a weight of whole numbers, 1 included */
#define FA_BLUR_FRACTION 6  /* bits of the fraction of a value that is only blurred down */

/* Two values at the same distance from one, and their weight. */
typedef struct {
    ptrdiff_t before, after;  /* how far off, in values */
    float weight;
    int16_t part;             /* the weight in whole numbers */
} fa_blur_tap;

/* Sets weights: half of the bell curve, of which the whole has a sum of 1. One more tap is 0.
 *
 * Whole numbers are rounded so that each sum from the outermost one on is as near as can be. */
static void fa_set_bell(ptrdiff_t reach, double sigma, fa_blur_tap *taps)
{
    const double one = 1 << FA_BLUR_PARTS;
    double sum = 0, outer = 0;
    int done = 0;
    ptrdiff_t k;
    for (k = 0; k <= reach; k++) {
        const double x = (double)k / sigma;
        sum += (k ? 2 : 1) * exp(-x * x / 2);
    }
    for (k = reach; k >= 0; k--) {
        const double x = (double)k / sigma, weight = exp(-x * x / 2) / sum;
        taps[k].weight = (float)weight;
        outer += weight;
        taps[k].part = (int16_t)((int)(outer * one + 0.5) - done);
        done += taps[k].part;
    }
    taps[0].part = (int16_t)((1 << FA_BLUR_PARTS) - 2 * (done - taps[0].part));
    taps[reach + 1].before = taps[reach + 1].after = 0;
    taps[reach + 1].weight = 0;
    taps[reach + 1].part = 0;
}

FA_CLONES static void fa_blur_floats(const float *x, const fa_blur_tap *taps, ptrdiff_t reach,
                                     ptrdiff_t size, float *FA_RESTRICT out)
{
    ptrdiff_t i, k;
    for (i = 0; i < size; i++) out[i] = taps[0].weight * x[i];
    for (k = 1; k <= reach; k++) {
        const float *a = x + taps[k].before, *b = x + taps[k].after;
        const float weight = taps[k].weight;
        for (i = 0; i < size; i++) out[i] += weight * (a[i] + b[i]);
    }
}

#define FA_BLUR_DOWN (FA_BLUR_PARTS - FA_BLUR_FRACTION)    /* bits that go after the first half */
#define FA_BLUR_ACROSS (FA_BLUR_PARTS + FA_BLUR_FRACTION)  /* and after the second */

#ifdef FA_AVX2
FA_INLINE FA_TARGET_AVX2 __m256i fa_wide_u8(const uint8_t *p)
{
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
}

FA_INLINE FA_TARGET_AVX2 __m256i fa_wide_i16(const int16_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

FA_INLINE FA_TARGET_AVX2 void fa_store_i16(__m256i values, int16_t *p)
{
    _mm256_storeu_si256((__m256i *)(void *)p, values);
}

FA_INLINE FA_TARGET_AVX2 void fa_store_u8(__m256i values, uint8_t *p)
{
    const __m256i bytes = _mm256_permute4x64_epi64(_mm256_packus_epi16(values, values), 0x08);
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_castsi256_si128(bytes));
}

/* Sixteen values: two taps at a time are multiplied and added. */
#define FA_BLUR_SIXTEEN(name, type, other, kind, result, shift) \
    FA_INLINE FA_TARGET_AVX2 void fa_blur_sixteen_##name(const kind *x, const fa_blur_tap *taps, \
                                                         ptrdiff_t reach, result *out) \
    { \
        __m256i low = _mm256_set1_epi32(1 << (shift - 1)), high = low; \
        ptrdiff_t k; \
        for (k = 0; k <= reach; k += 2) { \
            const __m256i second = _mm256_add_epi16(fa_wide_##type(x + taps[k + 1].before), \
                                                    fa_wide_##type(x + taps[k + 1].after)); \
            const __m256i first = k == 0 ? fa_wide_##type(x) \
                : _mm256_add_epi16(fa_wide_##type(x + taps[k].before), \
                                   fa_wide_##type(x + taps[k].after)); \
            const __m256i weights = _mm256_set1_epi32( \
                (int)((uint32_t)taps[k + 1].part << 16 | (uint16_t)taps[k].part)); \
            low = _mm256_add_epi32( \
                low, _mm256_madd_epi16(_mm256_unpacklo_epi16(first, second), weights)); \
            high = _mm256_add_epi32( \
                high, _mm256_madd_epi16(_mm256_unpackhi_epi16(first, second), weights)); \
        } \
        fa_store_##other(_mm256_packs_epi32(_mm256_srai_epi32(low, shift), \
                                            _mm256_srai_epi32(high, shift)), out); \
    } \
    FA_TARGET_AVX2 static void fa_blur_avx2_##name(const kind *x, const fa_blur_tap *taps, \
                                                   ptrdiff_t reach, ptrdiff_t size, result *out) \
    { \
        ptrdiff_t i; \
        for (i = 0; i + 16 < size; i += 16) fa_blur_sixteen_##name(x + i, taps, reach, out + i); \
        fa_blur_sixteen_##name(x + size - 16, taps, reach, out + size - 16); \
    }

FA_BLUR_SIXTEEN(down, u8, i16, uint8_t, int16_t, FA_BLUR_DOWN)
FA_BLUR_SIXTEEN(across, i16, u8, int16_t, uint8_t, FA_BLUR_ACROSS)
#undef FA_BLUR_SIXTEEN
#define FA_BLUR_BEST(name) \
    if (fa_simd >= FA_SIMD_AVX2 && size >= 16) { \
        fa_blur_avx2_##name(x, taps, reach, size, out); \
        return; \
    }
#else
#define FA_BLUR_BEST(name)
#endif

#define FA_BLUR_BYTES(name, kind, result, shift) \
    static void fa_blur_##name(const kind *x, const fa_blur_tap *taps, ptrdiff_t reach, \
                               ptrdiff_t size, result *FA_RESTRICT out) \
    { \
        ptrdiff_t i, k; \
        FA_BLUR_BEST(name) \
        for (i = 0; i < size; i++) { \
            int32_t sum = taps[0].part * x[i] + (1 << (shift - 1)); \
            for (k = 1; k <= reach; k++) \
                sum += taps[k].part * (x[i + taps[k].before] + x[i + taps[k].after]); \
            out[i] = (result)(sum >> shift); \
        } \
    }

FA_BLUR_BYTES(down, uint8_t, int16_t, FA_BLUR_DOWN)
FA_BLUR_BYTES(across, int16_t, uint8_t, FA_BLUR_ACROSS)
#undef FA_BLUR_BYTES
#undef FA_BLUR_BEST

/* A pixel that stands for one outside, mirrored at the outermost one. */
FA_INLINE ptrdiff_t fa_mirrored(ptrdiff_t i, ptrdiff_t n)
{
    i = i < 0 ? -i : i;
    return i < n ? i : 2 * (n - 1) - i;
}

/* Whether the half of a window reaches no further than the mirrored image, and there is room for it. */
FA_INLINE int fa_reaches(double window, ptrdiff_t size)
{
    return window >= 1 && window < 2 * FA_BLUR_REACH + 2 && window < 2 * (double)size;
}

/* p: height and width of the window, odd numbers, and the bell curve's standard deviation. An image that
 * is too small for the window stays.
 *
 * Each row is blurred down into a line, which gets a mirrored border, and that across. */
#define FA_BLUR(name, kind, middle, down_name, across_name) \
    static void fa_blur_image_##name(const double *p, fa_canvas *canvas) \
    { \
        const ptrdiff_t height = canvas->height, width = canvas->width, channels = canvas->channels; \
        const ptrdiff_t size = width * channels, edge = size - channels; \
        const ptrdiff_t down = fa_within(p[0], 2 * height) / 2, across = fa_within(p[1], 2 * width) / 2; \
        middle *line = (middle *)(void *)canvas->memory + across * channels; \
        const kind *x = canvas->data; \
        kind *out = canvas->other; \
        fa_blur_tap taps_down[FA_BLUR_REACH + 2], taps_across[FA_BLUR_REACH + 2]; \
        ptrdiff_t i, j, c, k; \
        if (!fa_reaches(p[0], height) || !fa_reaches(p[1], width)) return; \
        fa_set_bell(down, p[2], taps_down); \
        fa_set_bell(across, p[2], taps_across); \
        for (k = 0; k <= across; k++) { \
            taps_across[k].before = -k * channels; \
            taps_across[k].after = k * channels; \
        } \
        for (i = 0; i < height; i++) { \
            for (k = 0; k <= down; k++) { \
                taps_down[k].before = (fa_mirrored(i - k, height) - i) * size; \
                taps_down[k].after = (fa_mirrored(i + k, height) - i) * size; \
            } \
            down_name(x + i * size, taps_down, down, size, line); \
            for (j = channels; j <= across * channels; j += channels) \
                for (c = 0; c < channels; c++) { \
                    line[c - j] = line[c + j]; \
                    line[edge + c + j] = line[edge + c - j]; \
                } \
            across_name(line, taps_across, across, size, out + i * size); \
        } \
        fa_swap_buffers(canvas); \
    }

FA_BLUR(bytes, uint8_t, int16_t, fa_blur_down, fa_blur_across)
FA_BLUR(floats, float, float, fa_blur_floats, fa_blur_floats)
#undef FA_BLUR

#endif
