/* Where the samples of an output row lie in the source. */
#ifndef FASTAUG_LOCATE_H
#define FASTAUG_LOCATE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "border.h"
#include "locate_avx2.h"
#include "locate_neon.h"
#include "platform.h"
#include "samples.h"
#include "simd.h"

/* Above this an image is fetched as it is needed: what it pushes out of the cache, and what the output
 * does, would be gone by then. */
#define FA_FETCHED_WHOLE (1 << 16)
#define FA_FETCHED_ROWS 8  /* output rows from a sample to those fetched with it */

/* Values from a sample to the one some output rows further on. */
FA_INLINE ptrdiff_t fa_ahead(const fa_sampling *from, const double *m)
{
    const double far = 1 << 10;
    if (!(m[0] > -far && m[0] < far && m[3] > -far && m[3] < far)) return 0;
    return (ptrdiff_t)(m[0] * FA_FETCHED_ROWS) * from->row
        + (ptrdiff_t)(m[3] * FA_FETCHED_ROWS) * from->channels;
}

/* Reverses the order of samples. */
static void fa_reverse(fa_samples *s, ptrdiff_t count)
{
    ptrdiff_t i, k;
    for (i = 0, k = count - 1; i < k; i++, k--) {
        const int32_t offset = s->offset[i];
        const float row_weight = s->row_weight[i], column_weight = s->column_weight[i];
        s->offset[i] = s->offset[k];
        s->row_weight[i] = s->row_weight[k];
        s->column_weight[i] = s->column_weight[k];
        s->offset[k] = offset;
        s->row_weight[k] = row_weight;
        s->column_weight[k] = column_weight;
    }
}

/* Coordinates to offsets and weights; anything outside, and NaN, goes to the edge. */
FA_CLONES static void fa_split(const double *FA_RESTRICT r, const double *FA_RESTRICT c,
                               ptrdiff_t count, const fa_sampling *FA_RESTRICT from,
                               fa_samples *FA_RESTRICT s)
{
    const ptrdiff_t height = from->height, width = from->width;
    const int order = from->order;
    const double r_last = (double)(height - 1), c_last = (double)(width - 1);
    const double round = order == 0 ? 0.5 : 0;
    /* the upper left of 2 x 2 pixels is at most the last but one */
    const int32_t r_top = (int32_t)(order == 0 || height == 1 ? height - 1 : height - 2);
    const int32_t c_top = (int32_t)(order == 0 || width == 1 ? width - 1 : width - 2);
    const int32_t stride = (int32_t)from->row, step = (int32_t)from->channels;
    int32_t furthest = 0;
    ptrdiff_t i;
    for (i = 0; i < count; i++) {
        double y = r[i] > 0 ? r[i] : 0, x = c[i] > 0 ? c[i] : 0;
        int32_t r0, c0, offset;
        y = y < r_last ? y : r_last;
        x = x < c_last ? x : c_last;
        r0 = (int32_t)(y + round);
        c0 = (int32_t)(x + round);
        r0 = r0 < r_top ? r0 : r_top;
        c0 = c0 < c_top ? c0 : c_top;
        offset = r0 * stride + c0 * step;
        furthest = offset > furthest ? offset : furthest;
        s->offset[i] = offset;
        s->row_weight[i] = (float)(y - (double)r0);
        s->column_weight[i] = (float)(x - (double)c0);
    }
    s->furthest = furthest;
}

/* Whether fa_locate_near has the precision for these coordinates of a row and steps along it. */
FA_INLINE int fa_is_near(const fa_sampling *from, const double *start, const double *m)
{
    const double far = 1 << 20, steep = 2;
    return from->order == 1 && m[1] >= -steep && m[1] <= steep && m[4] >= -steep && m[4] <= steep
        && start[0] > -far && start[0] < far && start[1] > -far && start[1] < far
        && from->height < far && from->width < far;
}

/* Splits the coordinates of a block; returns the whole number that the positions count from. */
FA_INLINE int32_t fa_split_block(const fa_axes *axes, int axis, double first,
                                 int32_t *FA_RESTRICT position, float *FA_RESTRICT weight)
{
    const double whole = floor(first + axes->back[axis]);
    const float rest = (float)(first - whole);
    const float low = (float)-whole, high = (float)(axes->last[axis] - whole);
    const int32_t top = (int32_t)(axes->top[axis] - whole);
    int k;
    for (k = 0; k < FA_BLOCK; k++) {
        float v = rest + axes->along[axis][k];
        int32_t i;
        v = v > low ? v : low;
        v = v < high ? v : high;
        i = (int32_t)v;
        i = i < top ? i : top;
        position[k] = i;
        weight[k] = v - (float)i;
    }
    return (int32_t)whole;
}

/* fa_locate for order 1 where fa_is_near, with anything outside taken to the edge: a block at a time in
 * float32. */
static void fa_locate_near(const fa_sampling *from, const fa_axes *axes, const double *start,
                           ptrdiff_t first, ptrdiff_t count, int reversed, fa_samples *s)
{
    const double r_start = start[0] + axes->step[0] * (double)first;
    const double c_start = start[1] + axes->step[1] * (double)first;
    const uint32_t stride = (uint32_t)from->row;
    const uint32_t step = (uint32_t)from->channels;
    int32_t furthest[FA_BLOCK] = {0};
    ptrdiff_t i;
    int k;
#ifdef FA_AVX2
    if (fa_simd >= FA_SIMD_AVX2) {
        fa_locate_near_avx2(axes, r_start, c_start, (int32_t)stride, (int32_t)step, count, reversed,
                            s);
        return;
    }
#elif defined(FA_NEON)
    if (fa_simd >= FA_SIMD_NEON) {
        fa_locate_near_neon(axes, r_start, c_start, (int32_t)stride, (int32_t)step, count, reversed,
                            s);
        return;
    }
#endif
    for (i = 0; i < count; i += FA_BLOCK) {
        const double r_first = r_start + axes->step[0] * (double)i;
        const double c_first = c_start + axes->step[1] * (double)i;
        int32_t r[FA_BLOCK], c[FA_BLOCK];
        const int32_t r0 = fa_split_block(axes, 0, r_first, r, s->row_weight + i);
        const int32_t c0 = fa_split_block(axes, 1, c_first, c, s->column_weight + i);
        /* unsigned: what overflows on the way comes back */
        const uint32_t base = (uint32_t)r0 * stride + (uint32_t)c0 * step;
        for (k = 0; k < FA_BLOCK; k++) {
            const int32_t offset =
                (int32_t)(base + (uint32_t)r[k] * stride + (uint32_t)c[k] * step);
            s->offset[i + k] = offset;
            furthest[k] = offset > furthest[k] ? offset : furthest[k];
        }
    }
    for (k = 1; k < FA_BLOCK; k++)
        furthest[0] = furthest[k] > furthest[0] ? furthest[k] : furthest[0];
    s->furthest = furthest[0];
    if (reversed) fa_reverse(s, count);
}

/* Columns [first, first + count) of the output row that begins at the source coordinates start.
 * near: what fa_is_near says of the row. inside: whether all of them lie in the image. reversed: from
 * right to left, with the bits of left to right. */
FA_CLONES static void fa_locate(const fa_sampling *from, const fa_axes *axes, const double *start,
                                int near, int inside, ptrdiff_t first, ptrdiff_t count,
                                int reversed, fa_samples *s)
{
    double r[FA_CHUNK], c[FA_CHUNK];
    const double r_start = start[0], r_step = axes->step[0];
    const double c_start = start[1], c_step = axes->step[1];
    const int folds = fa_folds(from->border);
    ptrdiff_t i;
    if (near && (inside || !folds)) {
        fa_locate_near(from, axes, start, first, count, reversed, s);
        return;
    }
    for (i = 0; i < count; i++) {
        const double column = (double)first + (double)(int32_t)i;
        r[i] = r_start + r_step * column;
        c[i] = c_start + c_step * column;
    }
    if (!inside && folds) {
        fa_fold_all(r, count, from->height, from->border);
        fa_fold_all(c, count, from->width, from->border);
    }
    fa_split(r, c, count, from, s);
    if (reversed) fa_reverse(s, count);
}

#endif
