/* Where an output pixel lies in the source: matrices, border rules, samples. Part of _pixels.h. */

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
#define FA_BLOCK 16 /* of which there is a whole number in a chunk */
#define FA_WORTH_SPLITTING 64 /* samples inside the image, in a row of which others are brought there */

/* Pixels to read for at most a chunk of an output row. Where they are located in blocks, up to a block
 * of them too many is written: behind those that count or, turned left to right, before them; so the
 * memory that the pointers point into has a block before it. */
typedef struct {
    int32_t *offset;          /* of the upper left of 2 x 2 pixels, or of the nearest one */
    float *row_weight;        /* of the lower row, 0 to 1 */
    float *column_weight;     /* of the right column, 0 to 1 */
    ptrdiff_t below, right;   /* values from a pixel to the one below, to its right */
    ptrdiff_t furthest;       /* largest of the offsets */
    ptrdiff_t size;           /* values that may be read: the image, and what lies behind it */
} fa_samples;

/* Turns samples left to right. */
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

/* Whether a coordinate outside is brought inside, not to the edge. */
FA_INLINE int fa_folds(int border)
{
    return border == FA_REFLECT || border == FA_MIRROR || border == FA_WRAP;
}

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

/* Along one axis, the coordinate of each pixel of a block is a whole number, the same for all, and a
 * rest below 32 that float32 holds to 2**-20, as it does the way along the block: they move a value of
 * 0..255 by less than 0.001. Here is what all blocks of an image share, of its rows and columns. */
typedef struct {
    double step[2];
    double back[2], on[2];     /* from the first pixel of a block to the smallest and the largest */
    double last[2];            /* n - 1 */
    double top[2];             /* the upper or left of two pixels is at most this one */
    float along[2][FA_BLOCK];  /* from the first pixel of a block */
} fa_axes;

FA_INLINE void fa_set_axis(fa_axes *axes, int axis, double step, ptrdiff_t n)
{
    const double end = step * (FA_BLOCK - 1);
    int k;
    axes->step[axis] = step;
    axes->back[axis] = end < 0 ? end : 0;
    axes->on[axis] = end < 0 ? 0 : end;
    axes->last[axis] = (double)(n - 1);
    axes->top[axis] = n == 1 ? 0 : (double)(n - 2);
    for (k = 0; k < FA_BLOCK; k++) axes->along[axis][k] = (float)(step * (double)k);
}

FA_INLINE void fa_set_axes(fa_axes *axes, const fa_plan *plan, const double *m)
{
    fa_set_axis(axes, 0, m[1], plan->height);
    fa_set_axis(axes, 1, m[4], plan->width);
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

#include "_simd.h"

/* fa_locate for order 1 where fa_is_near, with anything outside taken to the edge: a block at a time in
 * float32. */
static void fa_locate_near(const fa_plan *plan, const fa_axes *axes, const double *start,
                           ptrdiff_t first, ptrdiff_t count, int reversed, fa_samples *s)
{
    const double r_start = start[0] + axes->step[0] * (double)first;
    const double c_start = start[1] + axes->step[1] * (double)first;
    const uint32_t stride = (uint32_t)(plan->width * plan->channels);
    const uint32_t step = (uint32_t)plan->channels;
    int32_t furthest[FA_BLOCK] = {0};
    ptrdiff_t i;
    int k;
#ifdef FA_AVX2
    if (fa_simd >= FA_SIMD_AVX2) {
        fa_locate_near_avx2(axes, r_start, c_start, (int32_t)stride, (int32_t)step, count, reversed,
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
FA_CLONES static void fa_locate(const fa_plan *plan, const fa_axes *axes, const double *start,
                                int near, int inside, ptrdiff_t first, ptrdiff_t count,
                                int reversed, fa_samples *s)
{
    double r[FA_CHUNK], c[FA_CHUNK];
    const double r_start = start[0], r_step = axes->step[0];
    const double c_start = start[1], c_step = axes->step[1];
    const int folds = fa_folds(plan->border);
    ptrdiff_t i;
    if (near && (inside || !folds)) {
        fa_locate_near(plan, axes, start, first, count, reversed, s);
        return;
    }
    for (i = 0; i < count; i++) {
        const double column = (double)first + (double)(int32_t)i;
        r[i] = r_start + r_step * column;
        c[i] = c_start + c_step * column;
    }
    if (!inside && folds) {
        fa_fold_all(r, count, plan->height, plan->border);
        fa_fold_all(c, count, plan->width, plan->border);
    }
    fa_split(r, c, count, plan->height, plan->width, plan->channels, plan->order, s);
    if (reversed) fa_reverse(s, count);
}
