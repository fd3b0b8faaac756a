/* Ops that need a whole image, or the neighbours of a pixel.
 *
 * Formulas, ranges and rounding are those of torchvision.transforms.v2.functional for uint8 images, and
 * for floats but on the scale of 0 to 255. */
#ifndef FASTAUG_AREA_H
#define FASTAUG_AREA_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "canvas.h"
#include "colour.h"
#include "noise.h"
#include "platform.h"
#include "simd.h"
#include "values_avx2.h"

/* ---- histograms ----------------------------------------------------------------------------------- */

/* Stretches the values of each channel to 0..255. */
static void fa_map_autocontrast(const double *p, const fa_statistics *statistics, ptrdiff_t channel,
                                uint8_t *table)
{
    const int low = statistics->low[channel], high = statistics->high[channel];
    const float scale = (float)(high - low) * (1 / 255.0f);
    int k;
    (void)p;
    if (low == high) return;
    for (k = 0; k < 256; k++) table[k] = fa_byte_of((float)(table[k] - low) / scale);
}

static void fa_autocontrast_floats(const double *p, fa_canvas *canvas)
{
    const ptrdiff_t size = fa_canvas_size(canvas), channels = canvas->channels;
    ptrdiff_t i, c;
    (void)p;
    for (c = 0; c < channels; c++) {
        float *x = (float *)canvas->data + c;
        float low = *x, high = *x, scale;
        for (i = 0; i < size; i += channels) {
            low = x[i] < low ? x[i] : low;
            high = x[i] > high ? x[i] : high;
        }
        scale = (high - low) * (1 / 255.0f);
        if (low == high) continue;
        for (i = 0; i < size; i += channels) x[i] = fa_clamp((x[i] - low) / scale);
    }
}

/* Makes the histogram of each channel flat, as Pillow does. */
static void fa_map_equalize(const double *p, const fa_statistics *statistics, ptrdiff_t channel,
                            uint8_t *table)
{
    const uint32_t *histogram = statistics->histogram[channel];
    uint8_t map[256];
    uint32_t pixels = 0, last = 0, sum = 0, step;
    int k;
    (void)p;
    for (k = 0; k < 256; k++) {
        pixels += histogram[k];
        if (histogram[k]) last = histogram[k];
    }
    step = (pixels - last) / 255;
    if (!step) return;
    for (k = 0; k < 256; k++) {
        const uint32_t v = (sum + step / 2) / step;
        map[k] = (uint8_t)(v < 255 ? v : 255);
        sum += histogram[k];
    }
    for (k = 0; k < 256; k++) table[k] = map[table[k]];
}

/* ---- neighbours ----------------------------------------------------------------------------------- */

/* A thirteenth, rounded, of a number up to 13 * 255: 5042 / 65536 is near enough to 1 / 13. */
FA_INLINE uint16_t fa_thirteenth(uint16_t v) { return (uint16_t)((uint32_t)(v + 6) * 5042 >> 16); }
FA_INLINE float fa_exact_thirteenth(float v) { return v * (1 / 13.0f); }

#ifdef FA_AVX2
/* Blends the first pixels of a row with smooth ones; returns the value where that ends.
 *
 * middle, sum: The row, and sums of each value and those above and below.
 * start, end: The values that have neighbours.
 * rest: The part of the smooth pixels; a product with a byte has to be a whole number of 32 bits. */
FA_TARGET_AVX2 static ptrdiff_t fa_sharpen_avx2(const uint8_t *middle, const uint16_t *sum,
                                                ptrdiff_t channels, ptrdiff_t start, ptrdiff_t end,
                                                float rest, uint8_t *FA_RESTRICT out)
{
    const __m256i zero = _mm256_setzero_si256(), half = _mm256_set1_epi16(6);
    const __m256i thirteenth = _mm256_set1_epi16(5042);
    const __m256 rests = _mm256_set1_ps(rest);
    ptrdiff_t k;
    for (k = start; k + 16 <= end; k += 16) {
        const __m256i x = fa_wide_u8(middle + k);
#define FA_SUMS(at) _mm256_loadu_si256((const __m256i *)(const void *)(sum + (at)))
        const __m256i sides = _mm256_add_epi16(FA_SUMS(k - channels), FA_SUMS(k + channels));
        const __m256i all = _mm256_add_epi16(_mm256_add_epi16(sides, FA_SUMS(k)),
                                             _mm256_add_epi16(_mm256_slli_epi16(x, 2), half));
#undef FA_SUMS
        const __m256i change = _mm256_sub_epi16(_mm256_mulhi_epu16(all, thirteenth), x);
        __m256i whole[2];
        int i;
        for (i = 0; i < 2; i++) {
            const __m256i v = i ? _mm256_unpackhi_epi16(x, zero) : _mm256_unpacklo_epi16(x, zero);
            const __m256i d = _mm256_srai_epi32(
                i ? _mm256_unpackhi_epi16(change, change) : _mm256_unpacklo_epi16(change, change), 16);
            whole[i] = _mm256_cvttps_epi32(_mm256_add_ps(
                _mm256_cvtepi32_ps(v), _mm256_mul_ps(rests, _mm256_cvtepi32_ps(d))));
        }
        fa_store_u8(_mm256_packs_epi32(whole[0], whole[1]), out + k);
    }
    return k;
}
#define FA_SHARPEN_BEST \
    if (fa_simd >= FA_SIMD_AVX2 && fabsf(rest) < (float)FA_MOST_FACTOR) \
        k = fa_sharpen_avx2(middle, sum, channels, k, size - channels, rest, out);
#else
#define FA_SHARPEN_BEST
#endif

/* The sum of 3 x 3 pixels and four times the middle one, of which a thirteenth is a smooth pixel. */
#define FA_SMOOTH_SUM(sum, i) (sum[i - channels] + sum[i] + sum[i + channels] + 4 * middle[i])

/* p: factor. 0 makes an image smooth, 1 leaves it, more makes it sharp. The outermost pixels stay.
 *
 * kind, number: Type of values and of their sums. smooth: Makes a smooth pixel of a sum.
 * best: Sets k, up to which values are done in another way. */
#define FA_SHARPNESS(name, kind, number, smooth, store, best) \
    FA_CLONES static void fa_sharpness_##name(const double *p, fa_canvas *canvas) \
    { \
        const ptrdiff_t height = canvas->height, channels = canvas->channels; \
        const ptrdiff_t size = canvas->width * channels; \
        const kind *x = canvas->data; \
        kind *FA_RESTRICT out = canvas->other; \
        number *FA_RESTRICT sum = (number *)(void *)canvas->memory; \
        const float rest = (float)(1 - p[0]); \
        ptrdiff_t i, k; \
        for (i = 0; i < height; i++, out += size) { \
            const kind *middle = x + i * size, *above = middle - size, *below = middle + size; \
            if (i == 0 || i == height - 1 || canvas->width < 3) { \
                memcpy(out, middle, (size_t)size * sizeof(kind)); \
                continue; \
            } \
            for (k = 0; k < size; k++) sum[k] = (number)(above[k] + middle[k] + below[k]); \
            for (k = 0; k < channels; k++) { \
                out[k] = middle[k]; \
                out[size - 1 - k] = middle[size - 1 - k]; \
            } \
            best \
            for (; k < size - channels; k++) { \
                const number all = (number)FA_SMOOTH_SUM(sum, k); \
                out[k] = store((float)middle[k] \
                               + rest * ((float)smooth(all) - (float)middle[k])); \
            } \
        } \
        fa_swap_buffers(canvas); \
    }

FA_SHARPNESS(bytes, uint8_t, uint16_t, fa_thirteenth, fa_byte_of, FA_SHARPEN_BEST)
FA_SHARPNESS(floats, float, float, fa_exact_thirteenth, fa_clamp, )
#undef FA_SHARPEN_BEST
#undef FA_SHARPNESS
#undef FA_SMOOTH_SUM

/* ---- rectangles ----------------------------------------------------------------------------------- */

#define FA_ERASE_VALUES 4  /* one for each channel, again and again */

/* p: top, left, height and width of a rectangle; whether it becomes noise, and its key; else its values. */
#define FA_ERASE(name, kind) \
    FA_CLONES static void fa_erase_##name(const double *p, fa_canvas *canvas) \
    { \
        const ptrdiff_t channels = canvas->channels; \
        const ptrdiff_t top = fa_within(p[0], canvas->height), left = fa_within(p[1], canvas->width); \
        const ptrdiff_t height = fa_within(p[0] + p[2], canvas->height) - top; \
        const ptrdiff_t width = fa_within(p[1] + p[3], canvas->width) - left; \
        const int is_noise = p[4] != 0; \
        const uint64_t key = fa_key_of(p[5]); \
        ptrdiff_t i, j, c; \
        kind *first = (kind *)canvas->data + (top * canvas->width + left) * channels; \
        if (height < 1 || width < 1) return; \
        for (j = 0; j < width; j++) \
            for (c = 0; c < channels; c++) \
                first[j * channels + c] = (kind)p[6 + c % FA_ERASE_VALUES]; \
        for (i = top; i < top + height; i++) { \
            const ptrdiff_t at = (i * canvas->width + left) * channels; \
            kind *x = (kind *)canvas->data + at; \
            if (is_noise) \
                for (j = 0; j < width * channels; j++) \
                    x[j] = (kind)(fa_random_bits(key, (uint32_t)(at + j)) >> 24); \
            else if (i > top) \
                memcpy(x, first, (size_t)(width * channels) * sizeof(kind)); \
        } \
    }

FA_ERASE(bytes, uint8_t)
FA_ERASE(floats, float)
#undef FA_ERASE

#endif
