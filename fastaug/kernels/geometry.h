/* Ops that move pixels: each is a matrix, and matrices of neighbouring steps are one. */
#ifndef FASTAUG_GEOMETRY_H
#define FASTAUG_GEOMETRY_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "canvas.h"

/* Matrices go from output to source, in homogeneous coordinates (row, column, 1) from the centre of the
 * image: a turn needs not know the size. */

/* p: 2 x 3 numbers. */
static void fa_affine_matrix(const double *p, double *m)
{
    memcpy(m, p, 6 * sizeof *m);
    m[6] = m[7] = 0;
    m[8] = 1;
}

/* p: the first 8 numbers of 3 x 3, of which the last is 1. */
static void fa_perspective_matrix(const double *p, double *m)
{
    memcpy(m, p, 8 * sizeof *m);
    m[8] = 1;
}

/* m = m . other: what `other` does comes after what m does to an image. */
static void fa_compose(double *m, const double *other)
{
    double product[9];
    int i, j;
    for (i = 0; i < 3; i++)
        for (j = 0; j < 3; j++)
            product[3 * i + j] = m[3 * i] * other[j] + m[3 * i + 1] * other[3 + j]
                + m[3 * i + 2] * other[6 + j];
    memcpy(m, product, sizeof product);
}

/* The same matrix, in pixels from the upper left one. */
static void fa_from_corner(const fa_canvas *canvas, double *m)
{
    double to[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1}, back[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
    to[2] = (double)(canvas->height - 1) / 2;
    to[5] = (double)(canvas->width - 1) / 2;
    back[2] = -to[2];
    back[5] = -to[5];
    fa_compose(to, m);
    fa_compose(to, back);
    memcpy(m, to, sizeof to);
}

/* One value of an image, or the fill outside it. */
#define FA_PIXEL_AT(x, i, j) \
    ((i) < 0 || (i) >= canvas->height || (j) < 0 || (j) >= canvas->width \
         ? fill : (float)(x)[((i) * canvas->width + (j)) * canvas->channels + c])

#define FA_PERSPECTIVE_WARP(kind, half) { \
        const kind *x = canvas->data; \
        kind *out = canvas->other; \
        for (row = 0; row < canvas->height; row++) \
            for (column = 0; column < canvas->width; column++) { \
                const double y = (double)row, z = (double)column; \
                const double w = m[6] * y + m[7] * z + m[8]; \
                double v = (m[0] * y + m[1] * z + m[2]) / w, u = (m[3] * y + m[4] * z + m[5]) / w; \
                ptrdiff_t i, j; \
                float down, right; \
                if (!(v > -2)) v = -2; /* outside, and so is what is behind the horizon */ \
                if (!(v < (double)canvas->height + 1)) v = (double)canvas->height + 1; \
                if (!(u > -2)) u = -2; \
                if (!(u < (double)canvas->width + 1)) u = (double)canvas->width + 1; \
                i = (ptrdiff_t)floor(order ? v : v + 0.5); \
                j = (ptrdiff_t)floor(order ? u : u + 0.5); \
                down = order ? (float)(v - (double)i) : 0; \
                right = order ? (float)(u - (double)j) : 0; \
                for (c = 0; c < canvas->channels; c++) { \
                    const float a = FA_PIXEL_AT(x, i, j); \
                    float value = a; \
                    if (order) { \
                        const float b = FA_PIXEL_AT(x, i, j + 1), d = FA_PIXEL_AT(x, i + 1, j); \
                        const float e = FA_PIXEL_AT(x, i + 1, j + 1); \
                        const float top = a + right * (b - a), bottom = d + right * (e - d); \
                        value = top + down * (bottom - top); \
                    } \
                    *out++ = (kind)(value + half); \
                } \
            } \
    }

/* Samples an image through a perspective map; see fa_from_corner.
 *
 * order: 0, nearest, or 1, linear.
 * fill: Value outside, 0 to 255 for bytes. */
static void fa_perspective_warp(const double *m, int order, float fill, fa_canvas *canvas)
{
    ptrdiff_t row, column, c;
    if (canvas->is_bytes) FA_PERSPECTIVE_WARP(uint8_t, 0.5f) else FA_PERSPECTIVE_WARP(float, 0)
    fa_swap_buffers(canvas);
}

#undef FA_PERSPECTIVE_WARP
#undef FA_PIXEL_AT

#endif
