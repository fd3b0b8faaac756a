/* Pixel loops of the core: plain C, no Python, no allocation; the only state is the choice of SIMD.
 *
 * An image here is float32 or uint8, contiguous, (height, width, channels), and so is what becomes of
 * it; its rows are computed as float32 in any case, and bytes made of them while they are in the
 * cache. A coordinate is a double
 * in units of pixels, (row, column), pixel centres on the integers. The border rules are those of
 * scipy.ndimage, which Keras uses:
 *
 *     nearest        a a a a | a b c d | d d d d
 *     reflect        d c b a | a b c d | d c b a
 *     mirror         . d c b | a b c d | c b a .
 *     grid-wrap      a b c d | a b c d | a b c d
 *     wrap           period n - 1: the first and the last pixel are the same point
 *     constant       k k k k | a b c d | k k k k    a sample outside [0, n - 1] is k whole
 *     grid-constant  k k k k | a b c d | k k k k    samples blend into k over one pixel
 *
 * Pixel types share one template, _warp.h. Compiled without contraction of a * b + c, so that every
 * instruction set gives the same bits.
 */
#ifndef FASTAUG_PIXELS_H
#define FASTAUG_PIXELS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__)
#define FA_INLINE static inline __attribute__((always_inline))
#define FA_RESTRICT __restrict__
#else
#define FA_INLINE static __inline
#define FA_RESTRICT __restrict
#endif

/* The loader picks the widest variant that the processor runs. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define FA_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define FA_CLONES
#endif

enum fa_border {
    FA_NEAREST, FA_REFLECT, FA_MIRROR, FA_GRID_WRAP, FA_WRAP, FA_CONSTANT, FA_GRID_CONSTANT
};

/* Columns of the parameter table, in the order in which Keras names them. NaN: no such shift. */
enum fa_column {
    FA_THETA, FA_TX, FA_TY, FA_SHEAR, FA_ZX, FA_ZY, FA_FLIP_HORIZONTAL, FA_FLIP_VERTICAL,
    FA_CHANNEL_SHIFT, FA_BRIGHTNESS, FA_COLUMNS
};

/* Everything that is the same for all images of a batch. */
typedef struct {
    ptrdiff_t height, width, channels;
    int channels_first;       /* layout of source and output */
    int order;                /* 0 or 1 */
    int border;               /* enum fa_border */
    float cval;
    int rescales;
    float rescale;
    int sample_center, sample_std;
    const float *feature_mean;   /* channels values, or NULL */
    const float *feature_scale;  /* channels values, or NULL */
    int function_reverses;           /* turns the channels round before the next two, */
    const float *function_scale;     /* channels values, or NULL: no function */
    const float *function_offset;    /* channels values */
    int truncates;            /* bytes are made after the shifts, without rounding; else before them */
} fa_plan;

/* ---- geometry ---------------------------------------------------------------------------- */

static int fa_has_geometry(const double *row)
{
    return row[FA_THETA] != 0 || row[FA_TX] != 0 || row[FA_TY] != 0 || row[FA_SHEAR] != 0
        || row[FA_ZX] != 1 || row[FA_ZY] != 1;
}

/* Keras's matrix, rotation . shift . shear . zoom about ((h, w) / 2 - 0.5) with x and y swapped at
 * the end: source (row, column) = m[0..1] . (row, column) + m[2], and the same with m[3..5]. */
static void fa_matrix(const double *row, ptrdiff_t height, ptrdiff_t width, double *m)
{
    const double radians = 3.14159265358979323846 / 180.0;
    const double theta = row[FA_THETA] * radians, shear = row[FA_SHEAR] * radians;
    const double c = cos(theta), s = sin(theta), sh_s = sin(shear), sh_c = cos(shear);
    const double zx = row[FA_ZX], zy = row[FA_ZY], tx = row[FA_TX], ty = row[FA_TY];
    const double ox = (double)height / 2 - 0.5, oy = (double)width / 2 - 0.5;
    const double xx = c * zx, xy = (-c * sh_s - s * sh_c) * zy;
    const double yx = s * zx, yy = (-s * sh_s + c * sh_c) * zy;
    const double x0 = c * tx - s * ty + ox - xx * ox - xy * oy;
    const double y0 = s * tx + c * ty + oy - yx * ox - yy * oy;
    m[0] = yy; m[1] = yx; m[2] = y0;
    m[3] = xy; m[4] = xx; m[5] = x0;
}

/* ---- borders ----------------------------------------------------------------------------- */

#define FA_FAR 1e9  /* beyond any image; keeps conversions to integers defined */

/* Brings a coordinate into reach of [0, n - 1]. Returns 0 where the sample is the constant. */
FA_INLINE int fa_fold(double *coordinate, ptrdiff_t n, int border)
{
    double v = *coordinate, period;
    const double last = (double)(n - 1);
    if (!(v > -FA_FAR)) v = -FA_FAR;  /* NaN comes here too */
    if (v > FA_FAR) v = FA_FAR;
    if (v < 0 || v > last) {
        switch (border) {
        case FA_NEAREST:
            v = v < 0 ? 0 : last;
            break;
        case FA_REFLECT:
            period = 2.0 * (double)n;
            v -= period * floor(v / period);
            if (v > (double)n - 0.5) v = period - 1 - v;
            break;
        case FA_MIRROR:
            if (n == 1) { v = 0; break; }
            period = 2.0 * last;
            v -= period * floor(v / period);
            if (v > last) v = period - v;
            break;
        case FA_GRID_WRAP:
            period = (double)n;
            v -= period * floor(v / period);
            break;
        case FA_WRAP:
            if (n == 1) { v = 0; break; }
            if (v < 0) v += last * (floor(-v / last) + 1);
            else v -= last * floor(v / last);
            break;
        case FA_CONSTANT:
            return 0;
        case FA_GRID_CONSTANT:
            if (v <= -1 || v >= (double)n) return 0;
            break;
        }
    }
    *coordinate = v;
    return 1;
}

/* The pixel that a tap one step outside stands for; -1: the constant. */
FA_INLINE ptrdiff_t fa_tap(ptrdiff_t i, ptrdiff_t n, int border)
{
    if (i >= 0 && i < n) return i;
    switch (border) {
    case FA_GRID_WRAP:
        return i < 0 ? n - 1 : 0;
    case FA_GRID_CONSTANT:
        return -1;
    default:  /* the tap past the last pixel of the others has weight 0, or repeats the edge */
        return i < 0 ? 0 : n - 1;
    }
}

/* Columns [*from, *to) of an output row whose source coordinate start + step * column lies in
 * [0, limit]; narrows the range it is given. Rounding is monotone, so the range has no holes. */
static void fa_inside(double start, double step, double limit, ptrdiff_t *from, ptrdiff_t *to)
{
    ptrdiff_t a = *from, b = *to;
    if (step != 0) {
        double first = -start / step, last = (limit - start) / step;
        if (first > last) { const double swap = first; first = last; last = swap; }
        if (!(first < (double)b)) first = (double)b;
        if (!(last > (double)a - 2)) last = (double)a - 2;
        if (first - 1 > (double)a) a = (ptrdiff_t)first - 1;
        if (last + 2 < (double)b) b = (ptrdiff_t)last + 2;
    }
    while (a < b && !(start + step * (double)a >= 0 && start + step * (double)a <= limit)) a++;
    while (b > a && !(start + step * (double)(b - 1) >= 0
                      && start + step * (double)(b - 1) <= limit)) b--;
    *from = a;
    *to = b > a ? b : a;
}

#define FA_LINE 64  /* bytes in a line of the cache, at least */

/* Fetches an image that is read in no order that the processor would guess. */
FA_INLINE void fa_fetch(const void *image, size_t bytes)
{
#if defined(__GNUC__)
    const char *p = image;
    size_t i;
    for (i = 0; i < bytes; i += FA_LINE) __builtin_prefetch(p + i, 0, 2);
#else
    (void)image;
    (void)bytes;
#endif
}

/* Above this an image is fetched as it is needed: what it pushes out of the cache, and what the output
 * does, would be gone by then. */
#define FA_FETCHED_WHOLE (1 << 16)
#define FA_FETCHED_ROWS 8  /* output rows from a sample to those fetched with it */

/* Values from a sample to the one some output rows further on. */
FA_INLINE ptrdiff_t fa_ahead(const fa_plan *plan, const double *m)
{
    const double far = 1 << 10;
    if (!(m[0] > -far && m[0] < far && m[3] > -far && m[3] < far)) return 0;
    return ((ptrdiff_t)(m[0] * FA_FETCHED_ROWS) * plan->width + (ptrdiff_t)(m[3] * FA_FETCHED_ROWS))
        * plan->channels;
}

/* Fetches one line of the cache; the address need not be valid. */
FA_INLINE void fa_fetch_line(uintptr_t address)
{
#if defined(__GNUC__)
    __builtin_prefetch((const void *)address, 0, 3);
#else
    (void)address;
#endif
}

/* ---- where the samples of a stretch of a row lie -------------------------------------------- */

#define FA_CHUNK 320

/* Pixels to read for some pixels of an output row. */
typedef struct {
    int32_t offset[FA_CHUNK];       /* of the upper left of 2 x 2 pixels, or of the nearest one */
    float row_weight[FA_CHUNK];     /* of the lower row, 0 to 1 */
    float column_weight[FA_CHUNK];  /* of the right column, 0 to 1 */
    ptrdiff_t below, right;         /* values from a pixel to the one below, to its right */
    ptrdiff_t furthest;             /* largest of the offsets */
    ptrdiff_t size;                 /* values that may be read: the image, and what lies behind it */
} fa_samples;

/* Brings coordinates into [0, n - 1], as far as it is not the clamping that follows. */
FA_CLONES static void fa_fold_all(double *FA_RESTRICT v, ptrdiff_t count, ptrdiff_t n, int border)
{
    const double last = (double)(n - 1);
    const double period = border == FA_WRAP ? last : border == FA_MIRROR ? 2 * last : 2 * last + 2;
    const double edge = border == FA_REFLECT ? last + 0.5 : last;
    const double mirrored = border == FA_REFLECT ? period - 1 : period;
    ptrdiff_t i;
    if (period == 0) {
        for (i = 0; i < count; i++) v[i] = 0;
    } else if (border == FA_WRAP) {
        /* a coordinate inside stays: the last pixel is not the first one */
        for (i = 0; i < count; i++) {
            const double down = v[i] - period * floor(v[i] / period);
            const double up = v[i] + period * (floor(-v[i] / period) + 1);
            v[i] = v[i] < 0 ? up : v[i] > last ? down : v[i];
        }
    } else {
        for (i = 0; i < count; i++) {
            const double folded = v[i] - period * floor(v[i] / period);
            v[i] = folded > edge ? mirrored - folded : folded;
        }
    }
}

/* Coordinates to offsets and weights; anything outside, and NaN, goes to the edge. */
FA_CLONES static void fa_split(const double *FA_RESTRICT r, const double *FA_RESTRICT c,
                               ptrdiff_t count, ptrdiff_t height, ptrdiff_t width,
                               ptrdiff_t channels, int order, fa_samples *FA_RESTRICT s)
{
    const double r_last = (double)(height - 1), c_last = (double)(width - 1);
    const double round = order == 0 ? 0.5 : 0;
    /* the upper left of 2 x 2 pixels is at most the last but one */
    const int32_t r_top = (int32_t)(order == 0 || height == 1 ? height - 1 : height - 2);
    const int32_t c_top = (int32_t)(order == 0 || width == 1 ? width - 1 : width - 2);
    const int32_t stride = (int32_t)(width * channels), step = (int32_t)channels;
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
FA_INLINE int fa_is_near(const fa_plan *plan, const double *start, const double *m)
{
    const double far = 1 << 20, steep = 2;
    return plan->order == 1 && m[1] >= -steep && m[1] <= steep && m[4] >= -steep && m[4] <= steep
        && start[0] > -far && start[0] < far && start[1] > -far && start[1] < far
        && plan->height < far && plan->width < far;
}

#define FA_BLOCK 16

/* Along one axis, the coordinate of each pixel of a block is a whole number, the same for all, and a
 * rest below 32 that float32 holds to 2**-20, as it does the way along the block: they move a value of
 * 0..255 by less than 0.001. */
typedef struct {
    double start, step;
    double back, on;  /* from the first pixel of a block to the smallest and the largest coordinate */
    double last;      /* n - 1 */
    double top;       /* the upper or left of two pixels is at most this one */
} fa_axis;

FA_INLINE void fa_set_axis(fa_axis *axis, double start, double step, ptrdiff_t n)
{
    const double end = step * (FA_BLOCK - 1);
    axis->start = start;
    axis->step = step;
    axis->back = end < 0 ? end : 0;
    axis->on = end < 0 ? 0 : end;
    axis->last = (double)(n - 1);
    axis->top = n == 1 ? 0 : (double)(n - 2);
}

/* Splits the coordinates of a block; returns the whole number that the positions count from. */
FA_INLINE int32_t fa_split_block(const fa_axis *axis, double column, int32_t *FA_RESTRICT position,
                                 float *FA_RESTRICT weight)
{
    const double first = axis->start + axis->step * column, whole = floor(first + axis->back);
    const float rest = (float)(first - whole);
    const float low = (float)-whole, high = (float)(axis->last - whole);
    const int32_t top = (int32_t)(axis->top - whole);
    int k;
    for (k = 0; k < FA_BLOCK; k++) {
        float v = rest + (float)(axis->step * (double)k);
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

#include "_simd.h"

/* fa_locate for order 1 where fa_is_near, with anything outside taken to the edge: a block at a time in
 * float32. */
static void fa_locate_near(const fa_plan *plan, const double *start, const double *m,
                           ptrdiff_t first, ptrdiff_t count, fa_samples *s)
{
    const double origin = (double)first;
    const uint32_t stride = (uint32_t)(plan->width * plan->channels);
    const uint32_t step = (uint32_t)plan->channels;
    int32_t furthest[FA_BLOCK] = {0};
    fa_axis row, column;
    ptrdiff_t i;
    int k;
    fa_set_axis(&row, start[0] + m[1] * origin, m[1], plan->height);
    fa_set_axis(&column, start[1] + m[4] * origin, m[4], plan->width);
#ifdef FA_AVX2
    if (fa_simd >= FA_SIMD_AVX2) {
        fa_locate_near_avx2(&row, &column, (int32_t)stride, (int32_t)step, count, s);
        return;
    }
#endif
    for (i = 0; i < count; i += FA_BLOCK) { /* the samples have room for whole blocks */
        int32_t r[FA_BLOCK], c[FA_BLOCK];
        const int32_t r0 = fa_split_block(&row, (double)i, r, s->row_weight + i);
        const int32_t c0 = fa_split_block(&column, (double)i, c, s->column_weight + i);
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
}

/* Columns [first, first + count) of the output row that begins at the source coordinates start.
 * near: what fa_is_near says of the row. */
FA_CLONES static void fa_locate(const fa_plan *plan, const double *start, const double *m, int near,
                                int all_inside, ptrdiff_t first, ptrdiff_t count, fa_samples *s)
{
    double r[FA_CHUNK], c[FA_CHUNK];
    const double r_start = start[0], r_step = m[1], c_start = start[1], c_step = m[4];
    const int folds = plan->border == FA_REFLECT || plan->border == FA_MIRROR
        || plan->border == FA_WRAP;
    ptrdiff_t i;
    if (near && (all_inside || !folds)) {
        fa_locate_near(plan, start, m, first, count, s);
        return;
    }
    for (i = 0; i < count; i++) {
        const double column = (double)first + (double)(int32_t)i;
        r[i] = r_start + r_step * column;
        c[i] = c_start + c_step * column;
    }
    if (!all_inside && folds) {
        fa_fold_all(r, count, plan->height, plan->border);
        fa_fold_all(c, count, plan->width, plan->border);
    }
    fa_split(r, c, count, plan->height, plan->width, plan->channels, plan->order, s);
}

/* Turns samples left to right: a flipped image has the bits of the upright one. */
FA_CLONES static void fa_reverse(fa_samples *s, ptrdiff_t count)
{
    int32_t offset[FA_CHUNK];
    float row_weight[FA_CHUNK], column_weight[FA_CHUNK];
    ptrdiff_t i;
    for (i = 0; i < count; i++) {
        offset[i] = s->offset[count - 1 - i];
        row_weight[i] = s->row_weight[count - 1 - i];
        column_weight[i] = s->column_weight[count - 1 - i];
    }
    memcpy(s->offset, offset, (size_t)count * sizeof(int32_t));
    memcpy(s->row_weight, row_weight, (size_t)count * sizeof(float));
    memcpy(s->column_weight, column_weight, (size_t)count * sizeof(float));
}

/* ---- what happens to a row while it is in the cache ------------------------------------------ */

#define FA_LANES 16

typedef struct {
    int normalize;             /* whether to rescale and apply the feature statistics */
    int extrema;               /* whether low and high are wanted */
    float low[FA_LANES], high[FA_LANES];
    ptrdiff_t waiting;         /* rows that are done and have not been handed on */
    uint8_t *bytes;            /* the image that becomes of the rows, or NULL: they are where they */
    float *lines;              /* belong; else memory for as many as may wait */
    uintptr_t next;            /* where the image lies that comes after this one, or 0 */
    ptrdiff_t next_row;        /* bytes in a row of it */
} fa_row_sink;

#define FA_ROWS_VALUES 1024  /* values that are worth a pass of their own */

/* Rows that may have to wait. */
FA_INLINE ptrdiff_t fa_waiting_rows(const fa_plan *plan)
{
    const ptrdiff_t row_size = plan->width * plan->channels;
    const ptrdiff_t rows = (FA_ROWS_VALUES + row_size - 1) / row_size;
    return rows < plan->height ? rows : plan->height;
}

/* Where an output row is to be written; rows are counted in the order of work. */
FA_INLINE float *fa_row_line(const fa_row_sink *sink, const fa_plan *plan, ptrdiff_t row,
                             int flip_vertical, float *out)
{
    const ptrdiff_t row_size = plan->width * plan->channels;
    if (!sink->bytes) return out + (flip_vertical ? plan->height - 1 - row : row) * row_size;
    return sink->lines
        + (flip_vertical ? fa_waiting_rows(plan) - 1 - sink->waiting : sink->waiting) * row_size;
}

static void fa_row_done(fa_row_sink *sink, const fa_plan *plan, ptrdiff_t row, int flip_vertical,
                        float *out);

/* ---- the warp, for both pixel types ---------------------------------------------------------- */

#define FA_PIXEL uint8_t
#define FA_NAME(name) name##_u8
#include "_warp.h"
#undef FA_PIXEL
#undef FA_NAME

#define FA_PIXEL float
#define FA_NAME(name) name##_f32
#include "_warp.h"
#undef FA_PIXEL
#undef FA_NAME

/* ---- values, in place on float32 ------------------------------------------------------------- */

/* NaN goes into both, as in NumPy. */
static void fa_add_extrema(const float *FA_RESTRICT x, ptrdiff_t size, float *FA_RESTRICT low,
                           float *FA_RESTRICT high)
{
    int odd = 0;
    ptrdiff_t i = 0;
#ifdef FA_AVX2
    if (fa_simd >= FA_SIMD_AVX2) {
        odd = fa_extrema_avx2(x, size, low, high);
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

static void fa_extrema_of(const fa_row_sink *sink, float *low, float *high)
{
    int k;
    *low = sink->low[0];
    *high = sink->high[0];
    for (k = 1; k < FA_LANES; k++) {
        *low = sink->low[k] < *low ? sink->low[k] : *low;
        *high = sink->high[k] > *high ? sink->high[k] : *high;
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

/* What becomes of a level: a blend with black in float32, truncated and clipped. */
FA_INLINE int fa_brightened(double factor, int level)
{
    const float blend = (float)factor * (float)level;
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
        const int level = x[i] > 0 ? (x[i] < 255 ? (int)x[i] : 255) : 0;
        x[i] = channels == 4 && i % 4 == 3 ? (float)level : table[level];
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

/* The same with a value for each channel of (pixels, channels). */
FA_CLONES static void fa_normalize_channels(float *FA_RESTRICT x, ptrdiff_t pixels,
                                            ptrdiff_t channels, const float *mean,
                                            const float *scale)
{
    ptrdiff_t i, k;
    for (i = 0; i < pixels; i++)
        for (k = 0; k < channels; k++) {
            float v = x[i * channels + k];
            if (mean) v -= mean[k];
            if (scale) v *= scale[k];
            x[i * channels + k] = v;
        }
}

/* x = x * scale + offset with values for each channel of (pixels, channels). */
FA_CLONES static void fa_map_channels(float *FA_RESTRICT x, ptrdiff_t size, ptrdiff_t channels,
                                      const float *scale, const float *offset)
{
    enum { FA_PATTERN = 48 }; /* vectors of any length begin with the same channel */
    float scales[FA_PATTERN], offsets[FA_PATTERN];
    ptrdiff_t i = 0;
    int k;
    if (FA_PATTERN % channels == 0) {
        for (k = 0; k < FA_PATTERN; k++) {
            scales[k] = scale[k % channels];
            offsets[k] = offset[k % channels];
        }
        for (; i + FA_PATTERN <= size; i += FA_PATTERN)
            for (k = 0; k < FA_PATTERN; k++) x[i + k] = x[i + k] * scales[k] + offsets[k];
    }
    for (; i < size; i++) x[i] = x[i] * scale[i % channels] + offset[i % channels];
}

/* The function that comes before standardization, on whole pixels. */
static void fa_apply_function(const fa_plan *plan, float *x, ptrdiff_t size)
{
    const ptrdiff_t channels = plan->channels;
    ptrdiff_t i, k;
    if (plan->function_reverses)
        for (i = 0; i < size; i += channels)
            for (k = 0; k < channels / 2; k++) {
                const float first = x[i + k];
                x[i + k] = x[i + channels - 1 - k];
                x[i + channels - 1 - k] = first;
            }
    fa_map_channels(x, size, channels, plan->function_scale, plan->function_offset);
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

/* fa_channel_shift of levels within low and high, truncated: as they are whole, by whole levels. */
FA_CLONES static void fa_shift_bytes(uint8_t *FA_RESTRICT x, ptrdiff_t size, double intensity,
                                     uint8_t low, uint8_t high)
{
    const double range = high - low;
    /* rounded as the sum is; clipped before, so that no byte overflows */
    const double levels =
        floor(255 + (intensity < range ? intensity > -range ? intensity : -range : range)) - 255;
    ptrdiff_t i;
    if (levels >= 0) {
        const uint8_t up = (uint8_t)levels, last = (uint8_t)(high - up);
        for (i = 0; i < size; i++) x[i] = (uint8_t)((x[i] < last ? x[i] : last) + up);
    } else {
        const uint8_t down = (uint8_t)-levels, first = (uint8_t)(low + down);
        for (i = 0; i < size; i++) x[i] = (uint8_t)((x[i] > first ? x[i] : first) - down);
    }
}

/* The same, unless the intensity is NaN, and then fa_brightness: Pillow is given float32. */
FA_CLONES static void fa_brighten_bytes(uint8_t *FA_RESTRICT x, ptrdiff_t size, ptrdiff_t channels,
                                        double factor, double intensity, uint8_t low, uint8_t high)
{
    uint8_t shifted[256], table[256];
    ptrdiff_t i;
    int k;
    for (k = 0; k < 256; k++) {
        double v = k;
        if (!isnan(intensity)) {
            v += intensity;
            v = v < low ? low : v;
            v = v > high ? high : v;
        }
        shifted[k] = (uint8_t)(float)v;
        table[k] = (uint8_t)fa_brightened(factor, shifted[k]);
    }
    if (channels != 4) {
        for (i = 0; i < size; i++) x[i] = table[x[i]];
        return;
    }
    for (i = 0; i < size; i++) x[i] = i % 4 == 3 ? shifted[x[i]] : table[x[i]];
}

/* ---- resizing by picking pixels ---------------------------------------------------------------- */

#ifdef FA_AVX2
#define FA_PICKS 128

/* Up to five pixels that lie in the same sixteen bytes. */
typedef struct {
    uint8_t shuffle[16];
    int32_t from, to, bytes;  /* where in a row of the image and of the result, and how many */
} fa_pick;

/* fa_pick_pixels, sixteen bytes at a time; both rows have that many. */
FA_TARGET_AVX2 static void fa_pick_pixels_avx2(const uint8_t *FA_RESTRICT image, ptrdiff_t stride,
                                               ptrdiff_t width, const int32_t *FA_RESTRICT rows,
                                               ptrdiff_t row_count,
                                               const int32_t *FA_RESTRICT columns,
                                               ptrdiff_t column_count, uint8_t *FA_RESTRICT out)
{
    const int32_t row_bytes = (int32_t)(3 * column_count), last = (int32_t)(3 * width - 16);
    fa_pick picks[FA_PICKS];
    ptrdiff_t j = 0, i;
    while (j < column_count) {
        const int32_t begin = (int32_t)(3 * j);
        int count = 0, whole = 0, k;
        for (; j < column_count && count < FA_PICKS; count++) {
            fa_pick *pick = &picks[count];
            pick->from = 3 * columns[j] < last ? 3 * columns[j] : last;
            pick->to = (int32_t)(3 * j);
            memset(pick->shuffle, 0x80, 16);
            for (k = 0; k < 15 && j < column_count && 3 * columns[j] + 3 <= pick->from + 16; j++) {
                const uint8_t first = (uint8_t)(3 * columns[j] - pick->from);
                pick->shuffle[k++] = first;
                pick->shuffle[k++] = (uint8_t)(first + 1);
                pick->shuffle[k++] = (uint8_t)(first + 2);
            }
            pick->bytes = k;
            if (pick->to + 16 <= row_bytes) whole = count + 1; /* what is too much comes again */
        }
        for (i = 0; i < row_count; i++) {
            const uint8_t *source = image + rows[i] * stride;
            uint8_t *line = out + i * row_bytes;
            if (i > 0 && rows[i] == rows[i - 1]) {
                memcpy(line + begin, line + begin - row_bytes, (size_t)(3 * j - begin));
                continue;
            }
            for (k = 0; k < count; k++) {
                const fa_pick *pick = &picks[k];
                const __m128i bytes = _mm_shuffle_epi8(
                    _mm_loadu_si128((const __m128i *)(const void *)(source + pick->from)),
                    _mm_loadu_si128((const __m128i *)(const void *)pick->shuffle));
                if (k < whole) {
                    _mm_storeu_si128((__m128i *)(void *)(line + pick->to), bytes);
                } else {
                    uint8_t rest[16];
                    _mm_storeu_si128((__m128i *)(void *)rest, bytes);
                    memcpy(line + pick->to, rest, (size_t)pick->bytes);
                }
            }
        }
    }
}
#endif

/* image of three channels, a row `stride` bytes; rows and columns to take, the columns ascending. */
static void fa_pick_pixels(const uint8_t *FA_RESTRICT image, ptrdiff_t stride, ptrdiff_t width,
                           const int32_t *FA_RESTRICT rows, ptrdiff_t row_count,
                           const int32_t *FA_RESTRICT columns, ptrdiff_t column_count,
                           uint8_t *FA_RESTRICT out)
{
    /* four bytes at a time, but not where the fourth is past the row that is read or written */
    ptrdiff_t by_four = column_count - 1, i, j;
#ifdef FA_AVX2
    if (fa_simd >= FA_SIMD_AVX2 && width >= 6 && column_count >= 6 && width < INT32_MAX / 3
        && column_count < INT32_MAX / 3) {
        fa_pick_pixels_avx2(image, stride, width, rows, row_count, columns, column_count, out);
        return;
    }
#endif
    while (by_four > 0 && columns[by_four - 1] >= width - 1) by_four--;
    for (i = 0; i < row_count; i++) {
        const uint8_t *source = image + rows[i] * stride;
        uint8_t *line = out + i * column_count * 3;
        if (i > 0 && rows[i] == rows[i - 1]) {
            memcpy(line, line - column_count * 3, (size_t)(column_count * 3));
            continue;
        }
        for (j = 0; j < by_four; j++) {
            uint32_t four;
            memcpy(&four, source + columns[j] * 3, 4);
            memcpy(line + j * 3, &four, 4);
        }
        for (; j < column_count; j++) memcpy(line + j * 3, source + columns[j] * 3, 3);
    }
}

/* ---- Keras's standardize, without ZCA ---------------------------------------------------------- */

static int fa_has_feature(const fa_plan *plan)
{
    return plan->feature_mean != NULL || plan->feature_scale != NULL;
}

static void fa_sample_statistics(const fa_plan *plan, float *x, ptrdiff_t size)
{
    if (plan->sample_center)
        fa_normalize(x, size, (float)(fa_sum(x, size) / (double)size), 1);
    if (plan->sample_std) {
        const float mean = (float)(fa_sum(x, size) / (double)size);
        const double std = sqrt(fa_sum_squares(x, size, mean) / (double)size);
        fa_normalize(x, size, 0, (float)(1 / (std + 1e-6)));
    }
}

/* One image in either layout. */
static void fa_standardize(const fa_plan *plan, float *x)
{
    const ptrdiff_t pixels = plan->height * plan->width, size = pixels * plan->channels;
    ptrdiff_t k;
    if (plan->rescales) fa_normalize(x, size, 0, plan->rescale);
    fa_sample_statistics(plan, x, size);
    if (!fa_has_feature(plan)) return;
    if (plan->channels_first)
        for (k = 0; k < plan->channels; k++)
            fa_normalize(x + k * pixels, pixels, plan->feature_mean ? plan->feature_mean[k] : 0,
                         plan->feature_scale ? plan->feature_scale[k] : 1);
    else
        fa_normalize_channels(x, pixels, plan->channels, plan->feature_mean, plan->feature_scale);
}

/* Called after each output row, counted in the order of work: from the bottom if flipped. */
static void fa_row_done(fa_row_sink *sink, const fa_plan *plan, ptrdiff_t row, int flip_vertical,
                        float *out)
{
    const ptrdiff_t row_size = plan->width * plan->channels;
    ptrdiff_t size, first;
    float *lines;
    if (sink->next) { /* as many rows of it are in the cache as are done of this one */
        const uintptr_t end = sink->next + (uintptr_t)sink->next_row;
        for (; sink->next < end; sink->next += FA_LINE) fa_fetch_line(sink->next);
        sink->next = end;
    }
    if (!sink->extrema && !sink->normalize && !sink->bytes) return;
    size = ++sink->waiting * row_size;
    if (size < FA_ROWS_VALUES && row + 1 < plan->height) return;
    first = flip_vertical ? plan->height - 1 - row : row + 1 - sink->waiting;
    if (sink->bytes) {
        lines = sink->lines
            + (flip_vertical ? fa_waiting_rows(plan) - sink->waiting : 0) * row_size;
        sink->waiting = 0;
        fa_store_bytes(lines, size, plan->truncates ? 0 : 0.5f, sink->bytes + first * row_size);
        return;
    }
    lines = out + first * row_size;
    sink->waiting = 0;
    if (sink->extrema) fa_add_extrema(lines, size, sink->low, sink->high);
    if (!sink->normalize) return;
    if (plan->function_scale) fa_apply_function(plan, lines, size);
    if (plan->rescales) fa_normalize(lines, size, 0, plan->rescale);
    if (fa_has_feature(plan))
        fa_normalize_channels(lines, size / plan->channels, plan->channels, plan->feature_mean,
                              plan->feature_scale);
}

/* ---- one image, from source to finished ---------------------------------------------------------- */

/* The part before the value shifts: warp, or, without a matrix, only flips. Both turn channels_first
 * into channels_last; work then holds one image. */
static void fa_place(const fa_plan *plan, const void *image, int is_float, ptrdiff_t behind,
                     const double *row, const double *m, void *work, fa_row_sink *sink, float *out)
{
    const int flip_h = row[FA_FLIP_HORIZONTAL] != 0, flip_v = row[FA_FLIP_VERTICAL] != 0;
#define FA_PLACE(type) \
    const void *source = fa_channels_last_##type(plan, image, work); \
    if (m) \
        fa_warp_##type(plan, source, source == image ? behind : 0, m, flip_h, flip_v, sink, out); \
    else \
        fa_copy_##type(plan, source, flip_h, flip_v, sink, out)
    if (is_float) {
        FA_PLACE(f32);
    } else {
        FA_PLACE(u8);
    }
#undef FA_PLACE
}

/* What the rows are asked for on their way: as much as can be done before all are there. */
static void fa_open_sink(const fa_plan *plan, const double *row, int standardize, fa_row_sink *sink)
{
    const int shifts = !isnan(row[FA_CHANNEL_SHIFT]) || !isnan(row[FA_BRIGHTNESS]);
    int k;
    sink->normalize = standardize && !shifts && !plan->sample_center && !plan->sample_std
        && (plan->rescales || plan->function_scale || fa_has_feature(plan));
    sink->waiting = 0;
    sink->bytes = NULL;
    sink->lines = NULL;
    sink->next = 0;
    sink->extrema = shifts;
    for (k = 0; k < FA_LANES; k++) {
        sink->low[k] = INFINITY;
        sink->high[k] = -INFINITY;
    }
}

/* The rest of it, on a whole image, channels last. */
static void fa_finish(const fa_plan *plan, const double *row, int standardize,
                      const fa_row_sink *sink, float *image)
{
    const ptrdiff_t size = plan->height * plan->width * plan->channels;
    const int brightens = !isnan(row[FA_BRIGHTNESS]);
    int rescales = standardize && plan->rescales;
    const int folds = rescales && !brightens && !plan->function_scale;
    float low, high;
    if (sink->normalize) return; /* done */
    fa_extrema_of(sink, &low, &high);
    if (!isnan(row[FA_CHANNEL_SHIFT])) {
        const float intensity = (float)row[FA_CHANNEL_SHIFT], sink_low = low, sink_high = high;
        fa_channel_shift(image, size, intensity, low, high, folds ? plan->rescale : 1);
        if (folds) rescales = 0;
        /* the extrema move with the pixels */
        fa_channel_shift(&low, 1, intensity, sink_low, sink_high, 1);
        fa_channel_shift(&high, 1, intensity, sink_low, sink_high, 1);
    }
    if (brightens) fa_brightness(image, size, plan->channels, row[FA_BRIGHTNESS], low, high);
    if (!standardize) return;
    if (plan->function_scale) fa_apply_function(plan, image, size);
    if (rescales) fa_normalize(image, size, 0, plan->rescale);
    fa_sample_statistics(plan, image, size);
    if (fa_has_feature(plan))
        fa_normalize_channels(image, plan->height * plan->width, plan->channels,
                              plan->feature_mean, plan->feature_scale);
}

/* behind: values that may be read behind the image. next: where the image lies that this thread may
 * get next, or 0. work: fa_work_values. */
static void fa_process(const fa_plan *plan, const void *image, int is_float, ptrdiff_t behind,
                       uintptr_t next, const double *row, const double *m, int standardize,
                       float *work, float *out)
{
    const ptrdiff_t pixels = plan->height * plan->width;
    float *target = plan->channels_first ? work : out;
    float *turned = plan->channels_first ? work + pixels * plan->channels : NULL;
    fa_row_sink sink;
    fa_open_sink(plan, row, standardize, &sink);
    sink.next = next;
    sink.next_row = plan->width * plan->channels * (ptrdiff_t)(is_float ? sizeof(float) : 1);
    fa_place(plan, image, is_float, behind, row, fa_has_geometry(row) ? m : NULL, turned, &sink,
             target);
    fa_finish(plan, row, standardize, &sink, target);
    if (plan->channels_first) fa_to_channels_first_f32(target, pixels, plan->channels, out);
}

/* Values of float32 that fa_process_bytes works in: rows, or an image that is shifted as floats. */
FA_INLINE ptrdiff_t fa_line_values(const fa_plan *plan)
{
    const ptrdiff_t row_size = plan->width * plan->channels;
    return (plan->truncates ? plan->height : fa_waiting_rows(plan)) * row_size;
}

/* The same from bytes to bytes, without standardization. */
static void fa_process_bytes(const fa_plan *plan, const uint8_t *image, ptrdiff_t behind,
                             uintptr_t next, const double *row, const double *m, float *work,
                             uint8_t *out)
{
    const ptrdiff_t pixels = plan->height * plan->width, size = pixels * plan->channels;
    const double intensity = row[FA_CHANNEL_SHIFT], factor = row[FA_BRIGHTNESS];
    const int shifts = !isnan(intensity) || !isnan(factor);
    uint8_t *rest = (uint8_t *)(work + fa_line_values(plan));
    uint8_t *target = plan->channels_first ? rest : out;
    uint8_t *turned = plan->channels_first ? rest + size : NULL;
    uint8_t low = 0, high = 255;
    fa_row_sink sink;
    fa_open_sink(plan, row, 0, &sink);
    sink.next = next;
    sink.next_row = plan->width * plan->channels;
    if (!shifts || !plan->truncates) {
        sink.extrema = 0; /* of bytes, later */
        sink.lines = work;
        sink.bytes = target;
    }
    fa_place(plan, image, 0, behind, row, fa_has_geometry(row) ? m : NULL, turned, &sink, work);
    if (shifts && plan->truncates) {
        fa_finish(plan, row, 0, &sink, work);
        fa_store_bytes(work, size, 0, target);
    } else if (shifts) {
        if (!isnan(intensity)) fa_extrema_of_bytes(target, size, &low, &high);
        if (!isnan(factor))
            fa_brighten_bytes(target, size, plan->channels, factor, intensity, low, high);
        else
            fa_shift_bytes(target, size, intensity, low, high);
    }
    if (plan->channels_first) fa_to_channels_first_u8(target, pixels, plan->channels, out);
}

/* Values of the memory that an image is worked on in. */
static ptrdiff_t fa_work_values(const fa_plan *plan, int to_bytes)
{
    const ptrdiff_t two = plan->channels_first ? 2 * plan->height * plan->width * plan->channels : 0;
    const ptrdiff_t value = (ptrdiff_t)sizeof(float);
    return to_bytes ? fa_line_values(plan) + (two + value - 1) / value : two;
}

/* A batch: which images, what becomes of each, and where it goes. */
typedef struct {
    const fa_plan *plan;
    const char *images;       /* uint8 or float32 */
    int is_float;
    ptrdiff_t stride, count;  /* bytes from an image to the next, and how many there are */
    const int64_t *index;     /* of an image for each place in the batch */
    const double *table;      /* FA_COLUMNS parameters for each place */
    const double *matrices;   /* 2 x 3 for each place, or NULL: those of the parameters */
    ptrdiff_t places;
    int standardize;
    int to_bytes;             /* whether out is uint8; then the images are, and nothing standardizes */
    void *out;
} fa_batch;

/* Some places of a batch. threads: how many work on it, each on as many places. work: fa_work_values. */
static void fa_run(const fa_batch *batch, ptrdiff_t start, ptrdiff_t stop, ptrdiff_t threads,
                   float *work)
{
    const fa_plan *plan = batch->plan;
    const ptrdiff_t size = plan->height * plan->width * plan->channels;
    const ptrdiff_t bytes = size * (ptrdiff_t)(batch->is_float ? sizeof(float) : 1);
    /* the next image lies behind this one, in the same memory */
    const ptrdiff_t behind = batch->stride >= bytes ? size : 0;
    ptrdiff_t i;
    for (i = start; i < stop; i++) {
        const ptrdiff_t place = (ptrdiff_t)batch->index[i];
        const double *row = batch->table + i * FA_COLUMNS;
        const ptrdiff_t after = i + 1 < stop ? i + 1 : stop + (threads - 1) * (stop - start);
        uintptr_t next = 0;
        double matrix[6];
        const double *m = matrix;
        const char *image;
        if (batch->matrices) m = batch->matrices + i * 6;
        else fa_matrix(row, plan->height, plan->width, matrix);
        if (after < batch->places)
            next = (uintptr_t)(batch->images + (ptrdiff_t)batch->index[after] * batch->stride);
        image = batch->images + place * batch->stride;
        if (batch->to_bytes)
            fa_process_bytes(plan, (const uint8_t *)image, place + 1 < batch->count ? behind : 0,
                             next, row, m, work, (uint8_t *)batch->out + i * size);
        else
            fa_process(plan, image, batch->is_float, place + 1 < batch->count ? behind : 0, next,
                       row, m, batch->standardize, work, (float *)batch->out + i * size);
    }
}

/* The same around a warp in Python: the source as float32, channels last; */
static void fa_before_warp(const fa_plan *plan, const void *image, int is_float, void *work,
                           float *out)
{
    const double upright[FA_COLUMNS] = {0};
    fa_row_sink nothing = {0, 0, {0}, {0}, 0, NULL, NULL, 0, 0};
    fa_place(plan, image, is_float, 0, upright, NULL, work, &nothing, out);
}

/* and what the warp made of it, to the end. */
static void fa_after_warp(const fa_plan *plan, const double *row, int standardize, float *image,
                          float *out)
{
    fa_row_sink sink;
    ptrdiff_t i;
    fa_open_sink(plan, row, standardize, &sink);
    for (i = 0; i < plan->height; i++) fa_row_done(&sink, plan, i, 0, image);
    fa_finish(plan, row, standardize, &sink, image);
    if (plan->channels_first)
        fa_to_channels_first_f32(image, plan->height * plan->width, plan->channels, out);
}

#endif
