/* The warp of scipy.ndimage to the last bit, for images that are not float32.
 *
 * Of order 0 and 1, in doubles. A sum is the same only if its parts are and if they come in the same
 * order, and so is a coordinate that is brought into reach; what is the same in real numbers, as
 * fa_fold is, is not enough. SciPy does it for one channel after the other; here a coordinate is that of
 * all channels. */
#ifndef FASTAUG_EXACT_H
#define FASTAUG_EXACT_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "border.h"
#include "image.h"
#include "platform.h"

/* Brings a coordinate into reach as SciPy does. Returns 0 where the sample is the constant. */
static int fa_exact_fold(double *coordinate, ptrdiff_t n, int border)
{
    const double last = (double)(n - 1), size = (double)n;
    double v = *coordinate, period;
    if ((v >= 0 && v <= last) || border == FA_NEAREST || border == FA_GRID_CONSTANT) return 1;
    if (border == FA_CONSTANT) return 0;
    if (n == 1) {
        v = 0;
    } else if (border == FA_REFLECT) {
        period = 2 * size;
        if (v > 0) {
            v -= period * trunc(v / period);
            if (v >= size) v = period - v - 1;
        } else {
            if (v < -period) v = period * trunc(-v / period) + v;
            /* but no whole pixel outside */
            v = v < -size ? v + period : (v > -1e-15 ? 1e-15 : -v) - 1;
        }
    } else if (border == FA_MIRROR) {
        period = 2 * last;
        if (v > 0) {
            v -= period * trunc(v / period);
            if (v >= size) v = period - v;
        } else {
            v = period * trunc(-v / period) + v;
            v = v <= -last ? v + period : -v;
        }
    } else { /* the two that wrap */
        period = border == FA_WRAP ? last : size;
        if (v > 0) v -= period * trunc(v / period);
        else v += period * (trunc((border == FA_WRAP ? -v : -1 - v) / period) + 1);
    }
    *coordinate = v;
    return 1;
}

/* The pixel that one of them stands for; -1: the constant. */
FA_INLINE ptrdiff_t fa_exact_tap(ptrdiff_t i, ptrdiff_t n, int border)
{
    double v = (double)i;
    if (i >= 0 && i < n) return i;
    if (border == FA_GRID_CONSTANT) return -1;
    if (border == FA_NEAREST) return i < 0 ? 0 : n - 1;
    if (border == FA_CONSTANT || border == FA_WRAP) border = FA_MIRROR;
    fa_exact_fold(&v, n, border);
    return (ptrdiff_t)v;
}

/* How an image lies in memory: values from a row, a column and a channel to the next. */
typedef struct {
    ptrdiff_t height, width, channels, row, column, channel;
} fa_layout;

/* A sample anywhere. */
static void fa_exact_sample(const double *image, const fa_layout *at, int order, int border,
                            double cval, double r, double c, double *out)
{
    ptrdiff_t rows[2], columns[2], i, j, k;
    double down[2], across[2];
    if (!fa_exact_fold(&r, at->height, border) || !fa_exact_fold(&c, at->width, border)) {
        for (k = 0; k < at->channels; k++) out[k * at->channel] = cval;
        return;
    }
    for (i = 0; i <= order; i++) {
        const double half = order ? 0 : 0.5;
        rows[i] = fa_exact_tap((ptrdiff_t)floor(r + half) + i, at->height, border);
        columns[i] = fa_exact_tap((ptrdiff_t)floor(c + half) + i, at->width, border);
    }
    down[0] = 1 - (r - floor(r));
    across[0] = 1 - (c - floor(c));
    down[1] = 1 - down[0];
    across[1] = 1 - across[0];
    for (k = 0; k < at->channels; k++) {
        double sum = 0;
        for (i = 0; i <= order; i++)
            for (j = 0; j <= order; j++) {
                const double value = rows[i] < 0 || columns[j] < 0 ? cval
                    : image[rows[i] * at->row + columns[j] * at->column + k * at->channel];
                sum += order ? value * down[i] * across[j] : value;
            }
        out[k * at->channel] = sum;
    }
}

/* Samples of a row, columns [from, to), which and whose right lower neighbours lie in the image. */
FA_INLINE void fa_exact_inside(const double *FA_RESTRICT image, const fa_layout *at,
                               const ptrdiff_t channels, const ptrdiff_t channel, const double *start,
                               const double *m, ptrdiff_t from, ptrdiff_t to,
                               double *FA_RESTRICT line)
{
    ptrdiff_t j, k;
    for (j = from; j < to; j++) {
        const double r = start[0] + m[1] * (double)j, c = start[1] + m[4] * (double)j;
        const ptrdiff_t top = (ptrdiff_t)r, left = (ptrdiff_t)c;
        const double up = 1 - (r - (double)top), before = 1 - (c - (double)left);
        const double down = 1 - up, after = 1 - before;
        const double *p = image + top * at->row + left * at->column;
        for (k = 0; k < channels; k++, p += channel) {
            double sum = 0;
            sum += p[0] * up * before;
            sum += p[at->column] * up * after;
            sum += p[at->row] * down * before;
            sum += p[at->row + at->column] * down * after;
            line[j * at->column + k * channel] = sum;
        }
    }
}

/* image -> out, which lie alike; m as in fa_matrix, coordinates below 2**31. */
FA_CLONES static void fa_exact_warp(const double *FA_RESTRICT image, const fa_layout *at, int order,
                                    int border, double cval, const double *m,
                                    double *FA_RESTRICT out)
{
    ptrdiff_t i, j;
    for (i = 0; i < at->height; i++) {
        const double start[2] = {m[2] + m[0] * (double)i, m[5] + m[3] * (double)i};
        double *line = out + i * at->row;
        ptrdiff_t from = 0, to = at->width;
        if (order == 1) {
            fa_inside(start[0], m[1], nextafter((double)(at->height - 1), 0), &from, &to);
            fa_inside(start[1], m[4], nextafter((double)(at->width - 1), 0), &from, &to);
        } else {
            to = 0;
        }
        if (at->height == 1 || at->width == 1) to = from = 0;
        for (j = 0; j < at->width; j++) {
            if (j == from && to > from) j = to;
            if (j == at->width) break;
            fa_exact_sample(image, at, order, border, cval, start[0] + m[1] * (double)j,
                            start[1] + m[4] * (double)j, line + j * at->column);
        }
        if (at->channels == 3 && at->channel == 1)
            fa_exact_inside(image, at, 3, 1, start, m, from, to, line);
        else
            fa_exact_inside(image, at, at->channels, at->channel, start, m, from, to, line);
    }
}

/* Doubles as integers: to the nearest, away from 0 in the middle, and no further than they go. */
FA_INLINE double fa_rounded(double v, double low, double high)
{
    const double next = v > 0 ? v + 0.5 : low < 0 ? v - 0.5 : 0;
    return next > high ? high : next > low ? next : low;
}

/* Doubles as values of a type, as SciPy makes them. */
FA_CLONES static void fa_from_doubles(int type, const double *FA_RESTRICT x, ptrdiff_t size,
                                      void *out)
{
    ptrdiff_t i;
#define FA_CASE(name, kind, low, high) \
    case name: { \
        kind *values = out; \
        for (i = 0; i < size; i++) values[i] = (kind)fa_rounded(x[i], low, high); \
        break; \
    }
    switch (type) {
    FA_CASE(FA_INT8, int8_t, -128, 127)
    FA_CASE(FA_UINT16, uint16_t, 0, 65535)
    FA_CASE(FA_INT16, int16_t, -32768, 32767)
    FA_CASE(FA_UINT32, uint32_t, 0, 4294967295.0)
    FA_CASE(FA_INT32, int32_t, -2147483648.0, 2147483647.0)
    FA_CASE(FA_UINT64, uint64_t, 0, 18446744073709549568.0) /* the last double within */
    FA_CASE(FA_INT64, int64_t, -9223372036854775808.0, 9223372036854774784.0)
    FA_CASE(FA_UINT8, uint8_t, 0, 255)
    }
#undef FA_CASE
}

#endif
