/* What happens to values, wherever they lie: shifts, brightness, normalization, as floats and as bytes. */
#ifndef FASTAUG_VALUES_H
#define FASTAUG_VALUES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "platform.h"
#include "simd.h"
#include "values_avx2.h"
#include "values_neon.h"

#define FA_LANES 16

/* The least and the greatest of some values, of every sixteenth of them. */
typedef struct {
    float low[FA_LANES], high[FA_LANES];
} fa_extrema;

/* Of no values. */
static void fa_reset_extrema(fa_extrema *extrema)
{
    int k;
    for (k = 0; k < FA_LANES; k++) {
        extrema->low[k] = INFINITY;
        extrema->high[k] = -INFINITY;
    }
}

/* Takes values into account. NaN goes into both, as in NumPy. */
static void fa_add_extrema(const float *FA_RESTRICT x, ptrdiff_t size,
                           fa_extrema *FA_RESTRICT extrema)
{
    float *low = extrema->low, *high = extrema->high;
    int odd = 0;
    ptrdiff_t i = 0;
#ifdef FA_AVX2
    if (fa_simd >= FA_SIMD_AVX2) {
        odd = fa_extrema_avx2(x, size, low, high);
        i = size - size % FA_LANES;
    }
#elif defined(FA_NEON)
    if (fa_simd >= FA_SIMD_NEON) {
        odd = fa_extrema_neon(x, size, low, high);
        i = size - size % FA_LANES;
    }
#endif
    for (; i < size; i++) {
        float *lo = low + i % FA_LANES, *hi = high + i % FA_LANES;
        *lo = x[i] < *lo ? x[i] : *lo;
        *hi = x[i] > *hi ? x[i] : *hi;
        odd |= x[i] != x[i];
    }
    if (odd) low[0] = high[0] = NAN; /* and stays: nothing compares with it */
}

/* The least and the greatest of all. */
static void fa_extrema_of(const fa_extrema *extrema, float *low, float *high)
{
    int k;
    *low = extrema->low[0];
    *high = extrema->high[0];
    for (k = 1; k < FA_LANES; k++) {
        *low = extrema->low[k] < *low ? extrema->low[k] : *low;
        *high = extrema->high[k] > *high ? extrema->high[k] : *high;
    }
}

/* One intensity for all channels, clipped to the image's own range; then a factor. */
FA_CLONES static void fa_channel_shift(float *FA_RESTRICT x, ptrdiff_t size, float intensity,
                                       float low, float high, float factor)
{
    ptrdiff_t i;
    for (i = 0; i < size; i++) {
        float v = x[i] + intensity;
        v = v < low ? low : v;
        v = v > high ? high : v;
        x[i] = v * factor;
    }
    if (isnan(low))
        for (i = 0; i < size; i++) x[i] = low;
}

/* What becomes of a uint8 value: a blend with black in float32, truncated and clipped. */
FA_INLINE int fa_brightened(double factor, int value)
{
    const float blend = (float)factor * (float)value;
    /* an infinite factor times 0 is NaN */
    return blend > 0 ? (blend < 255 ? (int)blend : 255) : 0;
}

/* Pillow's ImageEnhance.Brightness on the truncated image; an alpha channel keeps its value. An image
 * outside 0..255 is stretched to 0..255 before and back afterwards, as Keras does. */
FA_CLONES static void fa_brightness(float *FA_RESTRICT x, ptrdiff_t size, ptrdiff_t channels,
                                    double factor, float low, float high)
{
    float table[256];
    ptrdiff_t i;
    int v, stretch;
    for (v = 0; v < 256; v++) table[v] = (float)fa_brightened(factor, v);
    stretch = low < 0 || high > 255;
    if (stretch) {
        const float range = high - low;
        for (i = 0; i < size; i++) {
            float u = x[i] - low;
            if (range != 0) u /= range;
            x[i] = u * 255;
        }
    }
    for (i = 0; i < size; i++) {
        /* NaN and anything else outside cannot index the table */
        const int value = x[i] > 0 ? (x[i] < 255 ? (int)x[i] : 255) : 0;
        x[i] = channels == 4 && i % 4 == 3 ? (float)value : table[value];
    }
    if (stretch)
        for (i = 0; i < size; i++) x[i] = x[i] / 255 * (high - low) + low;
}

FA_CLONES static double fa_sum(const float *FA_RESTRICT x, ptrdiff_t size)
{
    double lane[FA_LANES] = {0}, total = 0;
    ptrdiff_t i = 0;
    int k;
    for (; i + FA_LANES <= size; i += FA_LANES)
        for (k = 0; k < FA_LANES; k++) lane[k] += (double)x[i + k];
    for (; i < size; i++) total += (double)x[i];
    for (k = 0; k < FA_LANES; k++) total += lane[k];
    return total;
}

FA_CLONES static double fa_sum_squares(const float *FA_RESTRICT x, ptrdiff_t size, float mean)
{
    double lane[FA_LANES] = {0}, total = 0;
    ptrdiff_t i = 0;
    int k;
    for (; i + FA_LANES <= size; i += FA_LANES)
        for (k = 0; k < FA_LANES; k++) {
            const double d = (double)(x[i + k] - mean);
            lane[k] += d * d;
        }
    for (; i < size; i++) {
        const double d = (double)(x[i] - mean);
        total += d * d;
    }
    for (k = 0; k < FA_LANES; k++) total += lane[k];
    return total;
}

/* x = (x - offset) * scale */
FA_CLONES static void fa_normalize(float *FA_RESTRICT x, ptrdiff_t size, float offset, float scale)
{
    ptrdiff_t i;
    for (i = 0; i < size; i++) x[i] = (x[i] - offset) * scale;
}

#define FA_PATTERN 48 /* values: vectors of any length begin with the same of 1, 2, 3 or 4 channels */

/* Repeats the values of the channels; NULL: the same value for all. */
FA_INLINE void fa_repeat(const float *values, ptrdiff_t channels, float otherwise, float *pattern)
{
    int k;
    for (k = 0; k < FA_PATTERN; k++) pattern[k] = values ? values[k % channels] : otherwise;
}

/* Makes each x[i] of (pixels, channels) the result of an operation on it with a p and a q, of which
 * there is one for each channel, or the same for all where p or q is NULL. */
#define FA_BY_CHANNEL(operation, p, no_p, q, no_q) { \
        float ps[FA_PATTERN], qs[FA_PATTERN]; \
        ptrdiff_t i = 0; \
        int k; \
        if (FA_PATTERN % channels == 0) { \
            fa_repeat(p, channels, no_p, ps); \
            fa_repeat(q, channels, no_q, qs); \
            for (; i + FA_PATTERN <= size; i += FA_PATTERN) \
                for (k = 0; k < FA_PATTERN; k++) x[i + k] = operation(x[i + k], ps[k], qs[k]); \
        } \
        for (; i < size; i += channels) \
            for (k = 0; k < channels; k++) \
                x[i + k] = operation(x[i + k], p ? p[k] : no_p, q ? q[k] : no_q); \
    }

/* The same with a value for each channel of (pixels, channels); either may be NULL. */
FA_CLONES static void fa_normalize_channels(float *FA_RESTRICT x, ptrdiff_t pixels,
                                            ptrdiff_t channels, const float *mean,
                                            const float *scale)
{
    const ptrdiff_t size = pixels * channels;
#define FA_NORMALIZED(v, mean, scale) (((v) - (mean)) * (scale))
    FA_BY_CHANNEL(FA_NORMALIZED, mean, 0, scale, 1)
#undef FA_NORMALIZED
}

/* x = x * scale + offset with values for each channel of (pixels, channels). */
FA_CLONES static void fa_map_channels(float *FA_RESTRICT x, ptrdiff_t size, ptrdiff_t channels,
                                      const float *scale, const float *offset)
{
#define FA_MAPPED(v, scale, offset) ((v) * (scale) + (offset))
    FA_BY_CHANNEL(FA_MAPPED, scale, 1, offset, 0)
#undef FA_MAPPED
}

#undef FA_BY_CHANNEL

/* Reverses the order of the channels of pixels. size: values in all of them. */
static void fa_reverse_channels(float *x, ptrdiff_t size, ptrdiff_t channels)
{
    ptrdiff_t i, k;
    for (i = 0; i < size; i += channels)
        for (k = 0; k < channels / 2; k++) {
            const float first = x[i + k];
            x[i + k] = x[i + channels - 1 - k];
            x[i + channels - 1 - k] = first;
        }
}

/* ---- values, as bytes ------------------------------------------------------------------------ */

/* Clipped and truncated; half: 0.5 to round as scipy.ndimage does, or 0. NaN becomes 0, and so does
 * -1 to 0 in either case. */
static void fa_store_bytes(const float *FA_RESTRICT x, ptrdiff_t size, float half,
                           uint8_t *FA_RESTRICT out)
{
    ptrdiff_t i = 0;
#ifdef FA_AVX2
    if (fa_simd >= FA_SIMD_AVX2) i = fa_store_bytes_avx2(x, size, half, out);
#elif defined(FA_NEON)
    if (fa_simd >= FA_SIMD_NEON) i = fa_store_bytes_neon(x, size, half, out);
#endif
    for (; i < size; i++) {
        const float v = x[i] + half;
        out[i] = (uint8_t)(v > 0 ? v < 255 ? (int)v : 255 : 0);
    }
}

FA_CLONES static void fa_extrema_of_bytes(const uint8_t *FA_RESTRICT x, ptrdiff_t size, uint8_t *low,
                                          uint8_t *high)
{
    uint8_t lo = 255, hi = 0;
    ptrdiff_t i;
    for (i = 0; i < size; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    *low = lo;
    *high = hi;
}

/* fa_channel_shift of bytes within low and high, truncated: as they are whole, by a whole number. */
FA_CLONES static void fa_shift_bytes(uint8_t *FA_RESTRICT x, ptrdiff_t size, double intensity,
                                     uint8_t low, uint8_t high)
{
    const double range = high - low;
    /* rounded as the sum is; clipped before, so that no byte overflows */
    const double shift =
        floor(255 + (intensity < range ? intensity > -range ? intensity : -range : range)) - 255;
    ptrdiff_t i;
    if (shift >= 0) {
        const uint8_t up = (uint8_t)shift, last = (uint8_t)(high - up);
        for (i = 0; i < size; i++) x[i] = (uint8_t)((x[i] < last ? x[i] : last) + up);
    } else {
        const uint8_t down = (uint8_t)-shift, first = (uint8_t)(low + down);
        for (i = 0; i < size; i++) x[i] = (uint8_t)((x[i] > first ? x[i] : first) - down);
    }
}

/* Replaces bytes by what a table has for them; every fourth one by what `alpha` has, unless that is
 * NULL. */
FA_CLONES static void fa_look_up(uint8_t *FA_RESTRICT x, ptrdiff_t size,
                                 const uint8_t *FA_RESTRICT table, const uint8_t *FA_RESTRICT alpha)
{
    ptrdiff_t i;
    if (!alpha) {
        for (i = 0; i < size; i++) x[i] = table[x[i]];
        return;
    }
    for (i = 0; i < size; i++) x[i] = i % 4 == 3 ? alpha[x[i]] : table[x[i]];
}

#endif
