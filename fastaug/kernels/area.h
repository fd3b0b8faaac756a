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
#include "values.h"

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

#define FA_BLUR_REACH 127  /* pixels on each side that a blurred one is made of, at most */
#define FA_BLURRED 64      /* values that are blurred at a time */

/* Two values at the same distance from one, and their weight. */
typedef struct {
    ptrdiff_t before, after;  /* how far off, in values */
    float weight;
} fa_blur_tap;

/* The bell curve: half of it, of which the whole has a sum of 1. */
static void fa_set_bell(ptrdiff_t reach, double sigma, fa_blur_tap *taps)
{
    double sum = 0;
    ptrdiff_t k;
    for (k = 0; k <= reach; k++) {
        const double x = (double)k / sigma;
        taps[k].weight = (float)exp(-x * x / 2);
        sum += (k ? 2 : 1) * (double)taps[k].weight;
    }
    for (k = 0; k <= reach; k++) taps[k].weight = (float)((double)taps[k].weight / sum);
}

/* A pixel that stands for one outside, mirrored at the outermost one. */
FA_INLINE ptrdiff_t fa_mirrored(ptrdiff_t i, ptrdiff_t n)
{
    i = i < 0 ? -i : i;
    return i < n ? i : 2 * (n - 1) - i;
}

/* Weighted sums of values; a count that is known beforehand makes them fast. */
#define FA_BLUR_LINE(name, kind) \
    FA_INLINE void fa_blur_some_##name(const kind *x, const fa_blur_tap *taps, ptrdiff_t reach, \
                                       const ptrdiff_t count, float *FA_RESTRICT out) \
    { \
        float sum[FA_BLURRED]; \
        ptrdiff_t i, k; \
        for (i = 0; i < count; i++) sum[i] = taps[0].weight * (float)x[i]; \
        for (k = 1; k <= reach; k++) { \
            const kind *a = x + taps[k].before, *b = x + taps[k].after; \
            const float weight = taps[k].weight; \
            for (i = 0; i < count; i++) sum[i] += weight * (float)(a[i] + b[i]); \
        } \
        for (i = 0; i < count; i++) out[i] = sum[i]; \
    } \
    FA_CLONES static void fa_blur_line_##name(const kind *x, const fa_blur_tap *taps, \
                                              ptrdiff_t reach, ptrdiff_t size, float *out) \
    { \
        ptrdiff_t i; \
        for (i = 0; i + FA_BLURRED <= size; i += FA_BLURRED) \
            fa_blur_some_##name(x + i, taps, reach, FA_BLURRED, out + i); \
        fa_blur_some_##name(x + i, taps, reach, size - i, out + i); \
    }

FA_BLUR_LINE(u8, uint8_t)
FA_BLUR_LINE(f32, float)
#undef FA_BLUR_LINE

/* p: sizes of the window down and across, odd numbers, and the bell curve's standard deviation.
 *
 * Each row is blurred down into a line, that gets a mirrored border, and that across. */
static void fa_blur(const double *p, fa_canvas *canvas)
{
    const ptrdiff_t height = canvas->height, width = canvas->width, channels = canvas->channels;
    const ptrdiff_t size = width * channels, down = (ptrdiff_t)p[0] / 2, across = (ptrdiff_t)p[1] / 2;
    float *line = canvas->memory + across * channels, *blurred = line + size + across * channels;
    fa_blur_tap taps_down[FA_BLUR_REACH + 1], taps_across[FA_BLUR_REACH + 1];
    ptrdiff_t i, j, c, k;
    fa_set_bell(down, p[2], taps_down);
    fa_set_bell(across, p[2], taps_across);
    for (k = 0; k <= across; k++) {
        taps_across[k].before = -k * channels;
        taps_across[k].after = k * channels;
    }
    for (i = 0; i < height; i++) {
        for (k = 0; k <= down; k++) {
            taps_down[k].before = (fa_mirrored(i - k, height) - i) * size;
            taps_down[k].after = (fa_mirrored(i + k, height) - i) * size;
        }
        if (canvas->is_bytes)
            fa_blur_line_u8((const uint8_t *)canvas->data + i * size, taps_down, down, size, line);
        else
            fa_blur_line_f32((const float *)canvas->data + i * size, taps_down, down, size, line);
        for (j = 1; j <= across; j++)
            for (c = 0; c < channels; c++) {
                line[c - j * channels] = line[c + j * channels];
                line[c + (width - 1 + j) * channels] = line[c + (width - 1 - j) * channels];
            }
        if (canvas->is_bytes) {
            fa_blur_line_f32(line, taps_across, across, size, blurred);
            fa_store_bytes(blurred, size, 0.5f, (uint8_t *)canvas->other + i * size);
        } else {
            fa_blur_line_f32(line, taps_across, across, size, (float *)canvas->other + i * size);
        }
    }
    fa_swap_buffers(canvas);
}

/* The sum of 3 x 3 pixels and four times the middle one, of which a thirteenth is a smooth pixel. */
#define FA_SMOOTH_SUM(sum, i) (sum[i - channels] + sum[i] + sum[i + channels] + 4 * middle[i])

/* p: factor. 0 makes an image smooth, 1 leaves it, more makes it sharp. The outermost pixels stay.
 *
 * kind, number: Type of values and of their sums. smooth: Makes a smooth pixel of a sum. */
#define FA_SHARPNESS(name, kind, number, smooth, store) \
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
            for (k = channels; k < size - channels; k++) { \
                const number all = (number)FA_SMOOTH_SUM(sum, k); \
                out[k] = store((float)middle[k] \
                               + rest * ((float)smooth(all) - (float)middle[k])); \
            } \
        } \
        fa_swap_buffers(canvas); \
    }

/* A thirteenth, rounded, of a number up to 13 * 255: 5042 / 65536 is near enough to 1 / 13. */
FA_INLINE uint16_t fa_thirteenth(uint16_t v) { return (uint16_t)((uint32_t)(v + 6) * 5042 >> 16); }
FA_INLINE float fa_exact_thirteenth(float v) { return v * (1 / 13.0f); }

FA_SHARPNESS(bytes, uint8_t, uint16_t, fa_thirteenth, fa_byte_of)
FA_SHARPNESS(floats, float, float, fa_exact_thirteenth, fa_clamp)
#undef FA_SHARPNESS
#undef FA_SMOOTH_SUM

/* ---- rectangles ----------------------------------------------------------------------------------- */

#define FA_ERASE_VALUES 4  /* one for each channel, again and again */

/* p: top, left, height and width of a rectangle; whether it becomes noise, and its key; else its values. */
#define FA_ERASE(name, kind) \
    static void fa_erase_##name(const double *p, fa_canvas *canvas) \
    { \
        const ptrdiff_t top = (ptrdiff_t)p[0], left = (ptrdiff_t)p[1], channels = canvas->channels; \
        const ptrdiff_t height = (ptrdiff_t)p[2], width = (ptrdiff_t)p[3]; \
        const int is_noise = p[4] != 0; \
        const uint64_t key = fa_key_of(p[5]); \
        ptrdiff_t i, j, c; \
        for (i = top; i < top + height; i++) { \
            const ptrdiff_t at = (i * canvas->width + left) * channels; \
            kind *x = (kind *)canvas->data + at; \
            for (j = 0; j < width; j++) \
                for (c = 0; c < channels; c++) { \
                    const ptrdiff_t k = j * channels + c; \
                    x[k] = (kind)(is_noise ? fa_random_bits(key, (uint32_t)(at + k)) >> 24 \
                                           : p[6 + c % FA_ERASE_VALUES]); \
                } \
        } \
    }

FA_ERASE(bytes, uint8_t)
FA_ERASE(floats, float)
#undef FA_ERASE

#endif
