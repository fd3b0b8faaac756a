/* Ops that move pixels: each is a matrix, and matrices of neighbouring steps are one. */
#ifndef FASTAUG_GEOMETRY_H
#define FASTAUG_GEOMETRY_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "border.h"
#include "canvas.h"
#include "platform.h"
#include "samples.h"
#include "values.h"
#include "warp.h"

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

#define FA_STRETCH 256  /* pixels of a row that are found in the source at a time */

/* Where the pixels [first, first + count) of a row come from: rows and columns of the source. */
FA_CLONES static void fa_project(const double *m, ptrdiff_t row, ptrdiff_t first, ptrdiff_t count,
                                 double *FA_RESTRICT v, double *FA_RESTRICT u)
{
    const double y = (double)row, z = (double)first;
    const double v0 = m[0] * y + m[1] * z + m[2], u0 = m[3] * y + m[4] * z + m[5];
    const double w0 = m[6] * y + m[7] * z + m[8];
    ptrdiff_t k;
    if (m[6] == 0 && m[7] == 0) {
        for (k = 0; k < count; k++) {
            v[k] = v0 + m[1] * (double)(int32_t)k;
            u[k] = u0 + m[4] * (double)(int32_t)k;
        }
        return;
    }
    for (k = 0; k < count; k++) {
        const double one = 1 / (w0 + m[7] * (double)(int32_t)k);
        v[k] = (v0 + m[1] * (double)(int32_t)k) * one;
        u[k] = (u0 + m[4] * (double)(int32_t)k) * one;
    }
}

/* The pixels at or before coordinates; -1 in both: a coordinate is outside [0, end). */
FA_CLONES static void fa_find_pixels(const double *FA_RESTRICT v, const double *FA_RESTRICT u,
                                     ptrdiff_t count, double shift, double v_end, double u_end,
                                     int32_t *FA_RESTRICT rows, int32_t *FA_RESTRICT columns)
{
    ptrdiff_t k;
    for (k = 0; k < count; k++) {
        const double y = v[k] + shift, x = u[k] + shift;
        const int inside = (y >= 0) & (y < v_end) & (x >= 0) & (x < u_end);
        rows[k] = (int32_t)(inside ? y : -1);
        columns[k] = (int32_t)(inside ? x : -1);
    }
}

/* Sets where samples lie, and how far from the pixel before them; returns the furthest.
 *
 * row, pixel: Values of a row and of a pixel. */
FA_CLONES static int32_t fa_set_samples(const double *FA_RESTRICT v, const double *FA_RESTRICT u,
                                        const int32_t *FA_RESTRICT rows,
                                        const int32_t *FA_RESTRICT columns, ptrdiff_t count,
                                        int32_t row, int32_t pixel, int32_t *FA_RESTRICT offsets,
                                        float *FA_RESTRICT row_weights,
                                        float *FA_RESTRICT column_weights)
{
    int32_t furthest = 0;
    ptrdiff_t k;
    for (k = 0; k < count; k++) {
        offsets[k] = rows[k] * row + columns[k] * pixel;
        furthest = offsets[k] > furthest ? offsets[k] : furthest;
    }
    for (k = 0; k < count; k++) row_weights[k] = (float)(v[k] - (double)rows[k]);
    for (k = 0; k < count; k++) column_weights[k] = (float)(u[k] - (double)columns[k]);
    return furthest;
}

/* store: Copies the pixels of a line of floats to where they belong. */
#define FA_PROJECTION(type, kind, store) \
    FA_INLINE void fa_take_##type(const kind *x, const fa_sampling *from, const ptrdiff_t channels, \
                                  const int32_t *rows, const int32_t *columns, ptrdiff_t count, \
                                  const uint8_t *label, kind *FA_RESTRICT out) \
    { \
        const kind fill = (kind)from->cval; \
        ptrdiff_t k, c; \
        for (k = 0; k < count; k++, out += channels) { \
            if (rows[k] < 0) { \
                for (c = 0; c < channels; c++) out[c] = label ? (kind)label[c] : fill; \
            } else { \
                const kind *pixel = x + rows[k] * from->row + columns[k] * channels; \
                for (c = 0; c < channels; c++) out[c] = pixel[c]; \
            } \
        } \
    } \
    /* Blends the pixels of a stretch: inside the image many at a time. */ \
    static void fa_blend_stretch_##type(const kind *x, const fa_sampling *from, const double *v, \
                                        const double *u, const int32_t *rows, \
                                        const int32_t *columns, ptrdiff_t count, \
                                        float *FA_RESTRICT line) \
    { \
        int32_t offsets[FA_STRETCH]; \
        float row_weights[FA_STRETCH], column_weights[FA_STRETCH]; \
        const ptrdiff_t channels = from->channels; \
        fa_samples samples; \
        ptrdiff_t c, k = 0; \
        samples.offset = offsets; \
        samples.row_weight = row_weights; \
        samples.column_weight = column_weights; \
        samples.below = from->row; \
        samples.right = channels; \
        samples.size = from->height * from->row; \
        while (k < count) { \
            const ptrdiff_t begin = k; \
            if (rows[k] < 0) { \
                if (v[k] > -1 && v[k] < (double)from->height && u[k] > -1 \
                    && u[k] < (double)from->width) /* at the edge */ \
                    fa_sample_##type(x, from, v[k], u[k], line + k * channels); \
                else \
                    for (c = 0; c < channels; c++) line[k * channels + c] = from->cval; \
                k++; \
                continue; \
            } \
            while (k < count && rows[k] >= 0) k++; \
            samples.furthest = fa_set_samples(v + begin, u + begin, rows + begin, columns + begin, \
                                              k - begin, (int32_t)from->row, (int32_t)channels, \
                                              offsets, row_weights, column_weights); \
            fa_blend_best_##type(x, channels, &samples, k - begin, line + begin * channels); \
        } \
    } \
    /* A row whose pixels lie side by side in the source, too. */ \
    static void fa_copy_row_##type(const kind *x, const fa_sampling *from, double v, double u, \
                                   const uint8_t *label, kind *FA_RESTRICT out) \
    { \
        const kind fill = (kind)from->cval; \
        const ptrdiff_t height = from->height, width = from->width, channels = from->channels; \
        const double row = floor(v + 0.5), column = floor(u + 0.5); \
        const int is_inside = row >= 0 && row < (double)height && column > (double)-width \
            && column < (double)width; \
        const ptrdiff_t left = is_inside ? (ptrdiff_t)column : width; \
        const ptrdiff_t begin = left < 0 ? -left : 0, end = left > 0 ? width - left : width; \
        ptrdiff_t k; \
        for (k = 0; k < begin * channels; k++) out[k] = label ? (kind)label[k % channels] : fill; \
        if (is_inside) \
            memcpy(out + begin * channels, \
                   x + (ptrdiff_t)row * from->row + (left + begin) * channels, \
                   (size_t)((end - begin) * channels) * sizeof(kind)); \
        for (k = end * channels; k < width * channels; k++) \
            out[k] = label ? (kind)label[k % channels] : fill; \
    } \
    static void fa_project_##type(const double *m, const fa_sampling *from, float *line, \
                                  const kind *x, const uint8_t *label, kind *out) \
    { \
        const int is_large = from->height * from->row > INT32_MAX; /* for an offset */ \
        const double less = from->order ? 1 : 0, shift = from->order ? 0 : 0.5; \
        const double v_end = is_large && from->order ? 0 : (double)from->height - less; \
        const double u_end = (double)from->width - less; \
        const ptrdiff_t channels = from->channels; \
        double v[FA_STRETCH], u[FA_STRETCH]; \
        int32_t rows[FA_STRETCH], columns[FA_STRETCH]; \
        ptrdiff_t i, j; \
        if (!from->order && m[1] == 0 && m[4] == 1 && m[6] == 0 && m[7] == 0) { \
            for (i = 0; i < from->height; i++) \
                fa_copy_row_##type(x, from, m[0] * (double)i + m[2], m[3] * (double)i + m[5], \
                                   label, out + i * from->row); \
            return; \
        } \
        for (i = 0; i < from->height; i++) \
            for (j = 0; j < from->width; j += FA_STRETCH) { \
                const ptrdiff_t rest = from->width - j, count = rest < FA_STRETCH ? rest : FA_STRETCH; \
                fa_project(m, i, j, count, v, u); \
                fa_find_pixels(v, u, count, shift, v_end, u_end, rows, columns); \
                if (from->order) { \
                    fa_blend_stretch_##type(x, from, v, u, rows, columns, count, line); \
                    store(line, count * channels, out); \
                } else if (channels == 3) { /* a number that is known beforehand */ \
                    fa_take_##type(x, from, 3, rows, columns, count, label, out); \
                } else { \
                    fa_take_##type(x, from, channels, rows, columns, count, label, out); \
                } \
                out += count * channels; \
            } \
    }

static void fa_round_line(const float *line, ptrdiff_t size, uint8_t *out)
{
    fa_store_bytes(line, size, 0.5f, out);
}

static void fa_copy_line(const float *line, ptrdiff_t size, float *out)
{
    memcpy(out, line, (size_t)size * sizeof *line);
}

FA_PROJECTION(u8, uint8_t, fa_round_line)
FA_PROJECTION(f32, float, fa_copy_line)
#undef FA_PROJECTION

#define FA_TILE 32  /* rows and columns whose lines stay in the cache while they are turned */

/* Whether a matrix only exchanges or reverses rows and columns, and every pixel lies in the image. */
static int fa_is_turn(const double *m, ptrdiff_t height, ptrdiff_t width)
{
    const double last = (double)(height - 1), end = (double)(width - 1);
    const int is_turn = (fabs(m[0]) == 1 && m[1] == 0 && m[3] == 0 && fabs(m[4]) == 1)
        || (m[0] == 0 && fabs(m[1]) == 1 && fabs(m[3]) == 1 && m[4] == 0);
    return is_turn && m[6] == 0 && m[7] == 0 && m[2] == floor(m[2]) && m[5] == floor(m[5])
        && fmin(0, m[0] * last) + fmin(0, m[1] * end) + m[2] >= 0
        && fmax(0, m[0] * last) + fmax(0, m[1] * end) + m[2] <= last
        && fmin(0, m[3] * last) + fmin(0, m[4] * end) + m[5] >= 0
        && fmax(0, m[3] * last) + fmax(0, m[4] * end) + m[5] <= end;
}

/* Turns an image by quarters, or reverses it: pixels of some bytes, tile by tile. */
FA_INLINE void fa_turn(const double *m, ptrdiff_t height, ptrdiff_t width, const ptrdiff_t pixel,
                       const char *x, char *FA_RESTRICT out)
{
    const ptrdiff_t row = width * pixel;
    const ptrdiff_t down = (ptrdiff_t)m[0] * row + (ptrdiff_t)m[3] * pixel;
    const ptrdiff_t right = (ptrdiff_t)m[1] * row + (ptrdiff_t)m[4] * pixel;
    ptrdiff_t top, left, i, j, k;
    x += (ptrdiff_t)m[2] * row + (ptrdiff_t)m[5] * pixel;
    for (top = 0; top < height; top += FA_TILE)
        for (left = 0; left < width; left += FA_TILE) {
            const ptrdiff_t bottom = top + FA_TILE < height ? top + FA_TILE : height;
            const ptrdiff_t end = left + FA_TILE < width ? left + FA_TILE : width;
            for (i = top; i < bottom; i++) {
                const char *from = x + i * down + left * right;
                char *to = out + i * row + left * pixel;
                for (j = left; j < end; j++, from += right, to += pixel)
                    for (k = 0; k < pixel; k++) to[k] = from[k];
            }
        }
}

/* Samples an image through any matrix; see fa_from_corner.
 *
 * order: 0, nearest, or 1, linear.
 * fill: Value outside, 0 to 255 for bytes.
 * label: A byte for each channel, which stand outside in its place where pixels are picked; or NULL. */
static void fa_warp_canvas(const double *m, int order, float fill, const uint8_t *label,
                           fa_canvas *canvas)
{
    fa_sampling from;
    if (!order && fa_is_turn(m, canvas->height, canvas->width)) {
        const ptrdiff_t pixel = canvas->channels
            * (canvas->is_bytes ? 1 : (ptrdiff_t)sizeof(float));
        if (pixel == 3) /* a number that is known beforehand */
            fa_turn(m, canvas->height, canvas->width, 3, canvas->data, canvas->other);
        else
            fa_turn(m, canvas->height, canvas->width, pixel, canvas->data, canvas->other);
        fa_swap_buffers(canvas);
        return;
    }
    from.height = canvas->height;
    from.width = canvas->width;
    from.channels = canvas->channels;
    from.row = canvas->width * canvas->channels;
    from.order = order;
    from.border = FA_GRID_CONSTANT;
    from.cval = fill;
    if (canvas->is_bytes)
        fa_project_u8(m, &from, canvas->memory, canvas->data, label, canvas->other);
    else
        fa_project_f32(m, &from, canvas->memory, canvas->data, NULL, canvas->other);
    fa_swap_buffers(canvas);
}

#endif
