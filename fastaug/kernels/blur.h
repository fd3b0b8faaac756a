/* Gaussian blur: down and then across, as floats, or as whole numbers where an image is of bytes. */
#ifndef FASTAUG_BLUR_H
#define FASTAUG_BLUR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "canvas.h"
#include "platform.h"
#include "simd.h"
#include "values_avx2.h"

#define FA_BLUR_REACH 127   /* pixels on each side that a blurred one is made of, at most */
#define FA_BLUR_PARTS 14    /* bits of a weight of whole numbers, 1 included */
#define FA_BLUR_FRACTION 7  /* bits of the fraction of a value that is only blurred down */
#define FA_BLUR_MIDDLE 128  /* what bytes are less in between: signed numbers */

/* Two values at the same distance from one, and their weight. */
typedef struct {
    ptrdiff_t before, after;  /* how far off, in values */
    float weight;
    int16_t part;             /* the weight in whole numbers; but for the middle one, twice that */
} fa_blur_tap;

/* Sets weights: half of the bell curve, of which the whole has a sum of 1.
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
        const int part = (int)((outer + weight) * one + 0.5) - done;
        taps[k].weight = (float)weight;
        taps[k].part = (int16_t)(k ? 2 * part : (1 << FA_BLUR_PARTS) - 2 * done);
        outer += weight;
        done += part;
    }
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

/* ---- bytes --------------------------------------------------------------------------------------- */

/* Every value is a number of 16 bits, a byte less FA_BLUR_MIDDLE with FA_BLUR_FRACTION more bits, and so is
 * each product with a part, which is rounded: a middle value is doubled for that, as a pair of others is.
 *
 * less, more: What is subtracted from a value before, and added to a sum after.
 * before_bits, after_bits: How far these are shifted left before, and right after. */
#define FA_BLUR_MORE ((FA_BLUR_MIDDLE << FA_BLUR_FRACTION) + (1 << FA_BLUR_FRACTION >> 1))

#ifdef FA_AVX2
FA_INLINE FA_TARGET_AVX2 __m256i fa_wide_i16(const int16_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

FA_INLINE FA_TARGET_AVX2 void fa_store_i16(__m256i values, int16_t *p)
{
    _mm256_storeu_si256((__m256i *)(void *)p, values);
}

/* count: Vectors of sixteen values. */
#define FA_BLUR_AVX2(name, type, other, kind, result, less, before_bits, more, after_bits) \
    FA_INLINE FA_TARGET_AVX2 void fa_blur_many_##name(const kind *x, const fa_blur_tap *taps, \
                                                      ptrdiff_t reach, const int count, result *out) \
    { \
        const __m256i pair_less = _mm256_set1_epi16(2 * less); \
        const __m256i middle = _mm256_set1_epi16(taps[0].part); \
        __m256i sums[4]; \
        ptrdiff_t k; \
        int i; \
        for (i = 0; i < count; i++) \
            sums[i] = _mm256_add_epi16(_mm256_set1_epi16(more), _mm256_mulhrs_epi16( \
                _mm256_slli_epi16(_mm256_sub_epi16(fa_wide_##type(x + 16 * i), \
                                                   _mm256_set1_epi16(less)), before_bits + 1), \
                middle)); \
        for (k = 1; k <= reach; k++) { \
            const __m256i part = _mm256_set1_epi16(taps[k].part); \
            const kind *a = x + taps[k].before, *b = x + taps[k].after; \
            for (i = 0; i < count; i++) { \
                const __m256i pair = _mm256_add_epi16(fa_wide_##type(a + 16 * i), \
                                                      fa_wide_##type(b + 16 * i)); \
                sums[i] = _mm256_add_epi16(sums[i], _mm256_mulhrs_epi16( \
                    _mm256_slli_epi16(_mm256_sub_epi16(pair, pair_less), before_bits), part)); \
            } \
        } \
        for (i = 0; i < count; i++) \
            fa_store_##other(_mm256_srai_epi16(sums[i], after_bits), out + 16 * i); \
    } \
    FA_TARGET_AVX2 static void fa_blur_avx2_##name(const kind *x, const fa_blur_tap *taps, \
                                                   ptrdiff_t reach, ptrdiff_t size, result *out) \
    { \
        ptrdiff_t i; \
        for (i = 0; i + 64 < size; i += 64) fa_blur_many_##name(x + i, taps, reach, 4, out + i); \
        for (; i + 16 < size; i += 16) fa_blur_many_##name(x + i, taps, reach, 1, out + i); \
        fa_blur_many_##name(x + size - 16, taps, reach, 1, out + size - 16); \
    }

FA_BLUR_AVX2(down, u8, i16, uint8_t, int16_t, FA_BLUR_MIDDLE, FA_BLUR_FRACTION, 0, 0)
FA_BLUR_AVX2(across, i16, u8, int16_t, uint8_t, 0, 0, FA_BLUR_MORE, FA_BLUR_FRACTION)
#undef FA_BLUR_AVX2
#define FA_BLUR_BEST(name) \
    if (fa_simd >= FA_SIMD_AVX2 && size >= 16) { \
        fa_blur_avx2_##name(x, taps, reach, size, out); \
        return; \
    }
#else
#define FA_BLUR_BEST(name)
#endif

/* A value times a part, rounded. */
FA_INLINE int32_t fa_blur_product(int32_t v, int32_t part)
{
    return (v * part + (1 << FA_BLUR_PARTS)) >> (FA_BLUR_PARTS + 1);
}

#define FA_BLUR_BYTES(name, kind, result, less, before_bits, more, after_bits) \
    FA_CLONES static void fa_blur_plain_##name(const kind *x, const fa_blur_tap *taps, \
                                               ptrdiff_t reach, ptrdiff_t size, \
                                               result *FA_RESTRICT out) \
    { \
        ptrdiff_t i, k; \
        for (i = 0; i < size; i++) { \
            int32_t sum = more + fa_blur_product((x[i] - less) * (2 << before_bits), taps[0].part); \
            for (k = 1; k <= reach; k++) \
                sum += fa_blur_product((x[i + taps[k].before] + x[i + taps[k].after] - 2 * less) \
                                       * (1 << before_bits), taps[k].part); \
            out[i] = (result)(sum >> after_bits); \
        } \
    } \
    static void fa_blur_##name(const kind *x, const fa_blur_tap *taps, ptrdiff_t reach, \
                               ptrdiff_t size, result *FA_RESTRICT out) \
    { \
        FA_BLUR_BEST(name) \
        fa_blur_plain_##name(x, taps, reach, size, out); \
    }

FA_BLUR_BYTES(down, uint8_t, int16_t, FA_BLUR_MIDDLE, FA_BLUR_FRACTION, 0, 0)
FA_BLUR_BYTES(across, int16_t, uint8_t, 0, 0, FA_BLUR_MORE, FA_BLUR_FRACTION)
#undef FA_BLUR_BYTES
#undef FA_BLUR_BEST
#undef FA_BLUR_MORE

/* ---- an image ------------------------------------------------------------------------------------ */

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
        fa_blur_tap taps_down[FA_BLUR_REACH + 1], taps_across[FA_BLUR_REACH + 1]; \
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
