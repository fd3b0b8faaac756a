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
