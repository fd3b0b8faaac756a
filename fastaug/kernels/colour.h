/* Ops on the values of pixels, one pixel at a time. For bytes, some are what becomes of each value, in a
 * table for each channel.
 *
 * Formulas, ranges and rounding are those of torchvision.transforms.v2.functional for uint8 images, and
 * for floats but on the scale of 0 to 255. */
#ifndef FASTAUG_COLOUR_H
#define FASTAUG_COLOUR_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "canvas.h"
#include "colour_avx2.h"
#include "noise.h"
#include "planes.h"
#include "platform.h"
#include "simd.h"

#define FA_SUMMED (1 << 20)   /* bytes whose sum is held by 32 bits */

FA_INLINE float fa_clamp(float v)
{
    v = v > 0 ? v : 0;
    return v < 255 ? v : 255;
}

/* Without its fraction, as torchvision makes bytes of floats. */
FA_INLINE uint8_t fa_byte_of(float v) { return (uint8_t)(int)fa_clamp(v); }

/* The luma of ITU-R BT.601 in torchvision's digits. */
FA_INLINE float fa_grey(float r, float g, float b) { return 0.2989f * r + 0.587f * g + 0.114f * b; }

/* The same without its fraction. */
FA_INLINE int32_t fa_grey_byte(int32_t r, int32_t g, int32_t b)
{
    return (2989 * r + 5870 * g + 1140 * b) / 10000;
}

/* The sum of the grey of some pixels of three bytes. */
FA_CLONES static double fa_sum_grey(const uint8_t *FA_RESTRICT x, ptrdiff_t pixels)
{
    double sum = 0;
    ptrdiff_t i = 0;
#ifdef FA_AVX2
    if (fa_simd >= FA_SIMD_AVX2) i = fa_sum_grey_avx2(x, pixels, &sum);
#endif
    while (i < pixels) {
        const ptrdiff_t end = pixels - i < FA_SUMMED ? pixels : i + FA_SUMMED;
        int32_t part = 0;
        for (; i < end; i++) part += fa_grey_byte(x[3 * i], x[3 * i + 1], x[3 * i + 2]);
        sum += part;
    }
    return sum;
}

/* ---- maps of a value ------------------------------------------------------------------------------ */

/* p: bits. Keeps the highest bits of each value. */
static void fa_map_posterize(const double *p, const fa_statistics *statistics, ptrdiff_t channel,
                             uint8_t *table)
{
    const uint8_t mask = (uint8_t)(0xFF00 >> fa_within(p[0], 8));
    int k;
    (void)statistics;
    (void)channel;
    for (k = 0; k < 256; k++) table[k] &= mask;
}

/* p: threshold. Inverts the values from it on. */
static void fa_map_solarize(const double *p, const fa_statistics *statistics, ptrdiff_t channel,
                            uint8_t *table)
{
    int k;
    (void)statistics;
    (void)channel;
    for (k = 0; k < 256; k++)
        if (table[k] >= p[0]) table[k] = (uint8_t)(255 - table[k]);
}

FA_CLONES static void fa_solarize_floats(const double *p, fa_canvas *canvas)
{
    const ptrdiff_t size = fa_canvas_size(canvas);
    const float threshold = (float)p[0];
    float *x = canvas->data;
    ptrdiff_t i;
    for (i = 0; i < size; i++) x[i] = x[i] >= threshold ? 255 - x[i] : x[i];
}

/* Inverts each value. */
static void fa_map_invert(const double *p, const fa_statistics *statistics, ptrdiff_t channel,
                          uint8_t *table)
{
    int k;
    (void)p;
    (void)statistics;
    (void)channel;
    for (k = 0; k < 256; k++) table[k] = (uint8_t)(255 - table[k]);
}

FA_CLONES static void fa_invert_floats(const double *p, fa_canvas *canvas)
{
    const ptrdiff_t size = fa_canvas_size(canvas);
    float *x = canvas->data;
    ptrdiff_t i;
    (void)p;
    for (i = 0; i < size; i++) x[i] = 255 - x[i];
}

/* p: factor. */
static void fa_map_adjust_brightness(const double *p, const fa_statistics *statistics, ptrdiff_t channel,
                              uint8_t *table)
{
    int k;
    (void)statistics;
    (void)channel;
    for (k = 0; k < 256; k++) table[k] = fa_byte_of((float)table[k] * (float)p[0]);
}

FA_CLONES static void fa_brightness_floats(const double *p, fa_canvas *canvas)
{
    const ptrdiff_t size = fa_canvas_size(canvas);
    const float factor = (float)p[0];
    float *x = canvas->data;
    ptrdiff_t i;
    for (i = 0; i < size; i++) x[i] = fa_clamp(x[i] * factor);
}

/* p: factor. Blends with the mean grey of the image. */
static void fa_map_adjust_contrast(const double *p, const fa_statistics *statistics, ptrdiff_t channel,
                            uint8_t *table)
{
    const float factor = (float)p[0];
    const float other = (float)statistics->grey_mean * (float)(1 - p[0]);
    int k;
    (void)channel;
    for (k = 0; k < 256; k++) table[k] = fa_byte_of((float)table[k] * factor + other);
}

FA_CLONES static void fa_contrast_floats(const double *p, fa_canvas *canvas)
{
    const ptrdiff_t size = fa_canvas_size(canvas), channels = canvas->channels;
    const float factor = (float)p[0];
    float *x = canvas->data;
    double sum = 0;
    float other;
    ptrdiff_t i;
    for (i = 0; i < size; i += channels)
        sum += (double)(channels == 1 ? x[i] : fa_grey(x[i], x[i + 1], x[i + 2]));
    other = (float)(sum / (double)(size / channels)) * (float)(1 - p[0]);
    for (i = 0; i < size; i++) x[i] = fa_clamp(x[i] * factor + other);
}

/* ---- ops on the channels of a pixel --------------------------------------------------------------- */

/* How far a channel is below the greatest one, in parts of their range, at a positive place on the circle
 * of hues, which has a length of 6. */
FA_INLINE float fa_below_most(float place)
{
    const float k = place - 6 * (float)(int)(place * (1 / 6.0f));
    const float other = 4 - k, low = k < other ? k : other, least = low < 1 ? low : 1;
    return least > 0 ? least : 0;
}

FA_INLINE int fa_whole(float v) { return (int)v; }
FA_INLINE float fa_same(float v) { return v; }

/* Pixels of an image of three channels; 0 of another. */
FA_INLINE ptrdiff_t fa_colour_pixels(const fa_canvas *canvas)
{
    return canvas->channels == 3 ? canvas->height * canvas->width : 0;
}

#define FA_MOST_FACTOR 1e6    /* below it, a product with a byte is a whole number of 32 bits */

/* Ops of three channels, of a block of each, that leave an image of one as it is.
 *
 * kind: Type of values. load: Makes a float of one, that has a hue. store: Makes one of a float.
 * grey_of: The grey of three. scale: Of the values of fa_hue, before they are stored.
 * saturate_best, whiten_best: Set `done`, the pixels that are done in another way. */
#define FA_ON_PIXELS(name, kind, load, store, grey_of, scale, saturate_best, whiten_best) \
    FA_CLONES static void fa_turn_##name(double part, kind *FA_RESTRICT r, \
                                         kind *FA_RESTRICT g, kind *FA_RESTRICT b) \
    { \
        const float turn = (float)(6 * (part + 1)); \
        ptrdiff_t i; \
        for (i = 0; i < FA_PIXEL_BLOCK; i++) { \
            const float red = load(r[i]), green = load(g[i]), blue = load(b[i]); \
            const float high = red > green ? red : green, low = red < green ? red : green; \
            const float most = high > blue ? high : blue, least = low < blue ? low : blue; \
            const float range = most - least, one = 1 / (range > 1e-30f ? range : 1); \
            const float of_red = (green - blue) * one, of_green = 2 + (blue - red) * one; \
            const float of_blue = 4 + (red - green) * one; \
            const float other = most == green ? of_green : of_blue; \
            const float place = (most == red ? of_red : other) + turn; \
            r[i] = store(scale * (most - range * fa_below_most(place + 5))); \
            g[i] = store(scale * (most - range * fa_below_most(place + 3))); \
            b[i] = store(scale * (most - range * fa_below_most(place + 1))); \
        } \
    } \
    FA_CLONES static void fa_saturate_##name(double p, kind *FA_RESTRICT r, \
                                             kind *FA_RESTRICT g, kind *FA_RESTRICT b) \
    { \
        const float factor = (float)p, rest = (float)(1 - p); \
        ptrdiff_t i; \
        for (i = 0; i < FA_PIXEL_BLOCK; i++) { \
            const float grey = rest * (float)grey_of(r[i], g[i], b[i]); \
            r[i] = store((float)r[i] * factor + grey); \
            g[i] = store((float)g[i] * factor + grey); \
            b[i] = store((float)b[i] * factor + grey); \
        } \
    } \
    FA_CLONES static void fa_whiten_##name(double p, kind *FA_RESTRICT r, \
                                           kind *FA_RESTRICT g, kind *FA_RESTRICT b) \
    { \
        ptrdiff_t i; \
        (void)p; \
        for (i = 0; i < FA_PIXEL_BLOCK; i++) \
            r[i] = g[i] = b[i] = (kind)grey_of(r[i], g[i], b[i]); \
    } \
    static void fa_by_blocks_##name(void (*work)(double, kind *, kind *, kind *), double p, \
                                    ptrdiff_t done, fa_canvas *canvas) \
    { \
        const ptrdiff_t pixels = fa_colour_pixels(canvas); \
        kind channel[3][FA_PIXEL_BLOCK]; \
        kind *x = (kind *)canvas->data + 3 * done; \
        ptrdiff_t at; \
        memset(channel, 0, sizeof channel); \
        for (at = done; at < pixels; at += FA_PIXEL_BLOCK, x += 3 * FA_PIXEL_BLOCK) { \
            const ptrdiff_t count = pixels - at < FA_PIXEL_BLOCK ? pixels - at : FA_PIXEL_BLOCK; \
            fa_split_##name(x, count, channel); \
            work(p, channel[0], channel[1], channel[2]); \
            fa_join_##name((const kind (*)[FA_PIXEL_BLOCK])channel, count, x); \
        } \
    } \
    static void fa_hue_##name(const double *p, fa_canvas *canvas) \
    { \
        fa_by_blocks_##name(fa_turn_##name, p[0], 0, canvas); \
    } \
    static void fa_saturation_##name(const double *p, fa_canvas *canvas) \
    { \
        ptrdiff_t done = 0; \
        saturate_best \
        fa_by_blocks_##name(fa_saturate_##name, p[0], done, canvas); \
    } \
    static void fa_grayscale_##name(const double *p, fa_canvas *canvas) \
    { \
        ptrdiff_t done = 0; \
        (void)p; \
        whiten_best \
        fa_by_blocks_##name(fa_whiten_##name, 0, done, canvas); \
    }

#ifdef FA_AVX2
#define FA_SATURATE_BEST \
    if (fa_simd >= FA_SIMD_AVX2 && fabs(p[0]) < FA_MOST_FACTOR) \
        done = fa_saturate_avx2(p[0], canvas->data, fa_colour_pixels(canvas));
#define FA_WHITEN_BEST \
    if (fa_simd >= FA_SIMD_AVX2) done = fa_whiten_avx2(canvas->data, fa_colour_pixels(canvas));
#else
#define FA_SATURATE_BEST
#define FA_WHITEN_BEST
#endif

FA_ON_PIXELS(bytes, uint8_t, (float), fa_byte_of, fa_grey_byte, (255.999f / 255), FA_SATURATE_BEST,
             FA_WHITEN_BEST)
FA_ON_PIXELS(floats, float, fa_clamp, fa_clamp, fa_grey, 1, , )
#undef FA_SATURATE_BEST
#undef FA_WHITEN_BEST
#undef FA_ON_PIXELS

/* ---- noise ---------------------------------------------------------------------------------------- */

/* p: mean and standard deviation, whether values are clipped (bytes else wrap around), and a key. */
#define FA_NOISE(name, kind, whole, clip, plain) \
    FA_CLONES static void fa_noise_##name(const double *p, fa_canvas *canvas) \
    { \
        const ptrdiff_t size = fa_canvas_size(canvas); \
        const float mean = (float)p[0], deviation = (float)p[1]; \
        const int clips = p[2] != 0; \
        const uint64_t key = fa_key_of(p[3]); \
        kind *x = canvas->data; \
        ptrdiff_t at, i; \
        for (at = 0; at < size; at += FA_NORMALS, x += FA_NORMALS) { \
            const ptrdiff_t count = size - at < FA_NORMALS ? size - at : FA_NORMALS; \
            float noise[FA_NORMALS]; \
            fa_normals(key, (uint32_t)at, noise); \
            for (i = 0; i < count; i++) { \
                const float v = (float)x[i] + (float)whole(mean + noise[i] * deviation); \
                x[i] = clips ? clip(v) : plain(v); \
            } \
        } \
    }

FA_INLINE uint8_t fa_wrapped(float v) { return (uint8_t)(int)v; }

FA_NOISE(bytes, uint8_t, fa_whole, fa_byte_of, fa_wrapped)
FA_NOISE(floats, float, fa_same, fa_clamp, fa_same)
#undef FA_NOISE

#endif
