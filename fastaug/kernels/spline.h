/* Interpolation of orders 2 to 5: the coefficients of an image, and samples of them.
 *
 * An image of n pixels is a sum of B-splines, one for each pixel, whose coefficients are the image
 * after two recursive filters for each pole, there and back (Unser, Aldroubi and Eden, "Fast B-spline
 * transforms for continuous image representation and interpolation", IEEE Trans. PAMI 13.3, 1991).
 * How the image goes on beyond its border, which decides where the filters begin, is scipy.ndimage's
 * affair, and so is what it does where it has no exact filter: for nearest and grid-constant it filters
 * 12 pixels more on each side, and it takes the mirrored image's for constant and wrap. In doubles,
 * as there. */
#ifndef FASTAUG_SPLINE_H
#define FASTAUG_SPLINE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "border.h"
#include "platform.h"
#include "rows.h"
#include "samples.h"

#define FA_SPLINE_TAPS 6     /* coefficients along an axis that a sample is made of, at most */
#define FA_SPLINE_PADDING 12 /* pixels of the border on each side that are filtered with the image */
#define FA_SPLINE_REACH 6    /* coefficients more on each side, so that no sample misses one */
#define FA_SPLINE_LINES 8    /* rows that are filtered at a time */
#define FA_SPLINE_LANES 64   /* values next to each other that are filtered at a time */
#define FA_SPLINE_CHUNK 64   /* samples that are located at a time */

/* ---- coefficients ---------------------------------------------------------------------------- */

/* Memory that the coefficients of an image are in. */
typedef struct {
    ptrdiff_t padding;       /* pixels on each side that are filtered with the image */
    ptrdiff_t height, width; /* of what is filtered */
    ptrdiff_t row;           /* values from a row to the next */
    double *all;             /* the coefficients, with FA_SPLINE_REACH more on each side */
    double *first;           /* the first of what is filtered */
    double *lines;           /* some rows, transposed */
} fa_spline;

/* How the coefficients go on where the image ends. */
FA_INLINE int fa_spline_border(int border)
{
    return border == FA_CONSTANT || border == FA_WRAP ? FA_MIRROR : border;
}

/* Sets what memory the coefficients need, and where it lies; returns how many values it has. */
FA_INLINE ptrdiff_t fa_set_spline(fa_spline *s, const fa_sampling *from, double *memory)
{
    const int pads = from->border == FA_NEAREST || from->border == FA_GRID_CONSTANT;
    ptrdiff_t values;
    s->padding = pads ? FA_SPLINE_PADDING : 0;
    s->height = from->height + 2 * s->padding;
    s->width = from->width + 2 * s->padding;
    s->row = (s->width + 2 * FA_SPLINE_REACH) * from->channels;
    values = (s->height + 2 * FA_SPLINE_REACH) * s->row;
    s->all = memory;
    s->first = memory + FA_SPLINE_REACH * (s->row + from->channels);
    s->lines = memory + values;
    return values + s->width * from->channels * FA_SPLINE_LINES;
}

/* Values of float32 that hold the memory of a spline, wherever they begin; 0 without one. */
FA_INLINE ptrdiff_t fa_spline_values(const fa_sampling *from)
{
    const ptrdiff_t value = (ptrdiff_t)(sizeof(double) / sizeof(float));
    fa_spline s;
    return from->order > 1 ? fa_set_spline(&s, from, NULL) * value + value - 1 : 0;
}

/* The first of them that a double may lie at. */
FA_INLINE double *fa_as_doubles(float *values)
{
    const uintptr_t odd = (uintptr_t)values % sizeof(double);
    return (double *)(odd ? (char *)values + (sizeof(double) - odd) : (char *)values);
}

/* The poles of the filters of an order; returns how many there are. */
FA_INLINE int fa_spline_poles(int order, double *poles)
{
    switch (order) {
    case 2:
        poles[0] = sqrt(8.0) - 3;
        return 1;
    case 3:
        poles[0] = sqrt(3.0) - 2;
        return 1;
    case 4:
        poles[0] = sqrt(664 - sqrt(438976.0)) + sqrt(304.0) - 19;
        poles[1] = sqrt(664 + sqrt(438976.0)) - sqrt(304.0) - 19;
        return 2;
    default:
        poles[0] = sqrt(67.5 - sqrt(4436.25)) + sqrt(26.25) - 6.5;
        poles[1] = sqrt(67.5 + sqrt(4436.25)) - sqrt(26.25) - 6.5;
        return 2;
    }
}

/* Filters lines that lie next to each other, `lanes` of them and at most FA_SPLINE_LANES: n values
 * each, `step` apart. border: how they go on. */
FA_CLONES static void fa_spline_filter(double *FA_RESTRICT c, ptrdiff_t n, ptrdiff_t step,
                                       ptrdiff_t lanes, int order, int border)
{
    double poles[2], gain = 1, sum[FA_SPLINE_LANES];
    const int count = fa_spline_poles(order, poles);
    double *const last = c + (n - 1) * step;
    ptrdiff_t i, q;
    int k;
    if (n < 2) return;
    for (k = 0; k < count; k++) gain *= (1 - poles[k]) * (1 - 1 / poles[k]);
    for (i = 0; i < n; i++)
        for (q = 0; q < lanes; q++) c[i * step + q] *= gain;
    for (k = 0; k < count; k++) {
        const double z = poles[k];
        const ptrdiff_t period = border == FA_MIRROR ? n - 1 : n;
        const double end = pow(z, (double)period);
        double power = 1;
        /* what the filter has become on its way through all the pixels before the first */
        for (q = 0; q < lanes; q++) sum[q] = 0;
        for (i = 0; i < period && fabs(power) > 1e-20; i++, power *= z) {
            if (border == FA_GRID_WRAP) {
                const double *before = i ? c + (n - i) * step : c;
                for (q = 0; q < lanes; q++) sum[q] += power * before[q];
            } else {
                /* scipy.ndimage sums in the place of the first value, and so takes for that, at the
                 * end, what is there by then */
                const double *near = c + i * step, *far = i == n - 1 ? sum : last - i * step;
                for (q = 0; q < lanes; q++) sum[q] += power * (near[q] + end * far[q]);
            }
        }
        for (q = 0; q < lanes; q++) {
            if (border == FA_GRID_WRAP) c[q] = sum[q] / (1 - end);
            else if (border == FA_MIRROR) c[q] = sum[q] / (1 - end * end);
            else c[q] += sum[q] * z / (1 - end * end);
        }
        for (i = 1; i < n; i++)
            for (q = 0; q < lanes; q++) c[i * step + q] += z * c[(i - 1) * step + q];
        /* and, on its way back, those after the last */
        if (border == FA_GRID_WRAP) {
            for (q = 0; q < lanes; q++) sum[q] = last[q];
            power = z;
            for (i = 0; i < n - 1 && fabs(power) > 1e-20; i++, power *= z)
                for (q = 0; q < lanes; q++) sum[q] += power * c[i * step + q];
            for (q = 0; q < lanes; q++) last[q] = sum[q] * z / (end - 1);
        } else if (border == FA_MIRROR) {
            for (q = 0; q < lanes; q++) last[q] = (z * last[q - step] + last[q]) * z / (z * z - 1);
        } else {
            for (q = 0; q < lanes; q++) last[q] *= z / (z - 1);
        }
        for (i = n - 2; i >= 0; i--)
            for (q = 0; q < lanes; q++)
                c[i * step + q] = z * (c[(i + 1) * step + q] - c[i * step + q]);
    }
}

/* The same for however many lines. */
static void fa_spline_filter_all(double *c, ptrdiff_t n, ptrdiff_t step, ptrdiff_t lines, int order,
                                 int border)
{
    ptrdiff_t q;
    for (q = 0; q < lines; q += FA_SPLINE_LANES)
        fa_spline_filter(c + q, n, step, lines - q < FA_SPLINE_LANES ? lines - q : FA_SPLINE_LANES,
                         order, border);
}

/* From the pixels, which are there, to the coefficients. */
static void fa_spline_coefficients(const fa_spline *s, const fa_sampling *of)
{
    const ptrdiff_t channels = of->channels, values = s->width * channels;
    const int order = of->order, border = fa_spline_border(of->border);
    /* the padding has no filter of its own */
    const int filtered = border == FA_NEAREST ? FA_REFLECT
        : border == FA_GRID_CONSTANT          ? FA_MIRROR
                                              : border;
    ptrdiff_t i, j, k, q, from;
    fa_spline_filter_all(s->first, s->height, s->row, values, order, filtered);
    for (i = 0; i < s->height; i += FA_SPLINE_LINES) {
        /* rows next to each other, as the columns are */
        const ptrdiff_t lines = s->height - i < FA_SPLINE_LINES ? s->height - i : FA_SPLINE_LINES;
        for (q = 0; q < lines; q++)
            for (j = 0; j < values; j++) s->lines[j * lines + q] = s->first[(i + q) * s->row + j];
        fa_spline_filter_all(s->lines, s->width, channels * lines, channels * lines, order, filtered);
        for (q = 0; q < lines; q++)
            for (j = 0; j < values; j++) s->first[(i + q) * s->row + j] = s->lines[j * lines + q];
    }
    /* the columns on either side, and then whole rows */
    for (q = 0; q < 2 * FA_SPLINE_REACH; q++) {
        j = q < FA_SPLINE_REACH ? q - FA_SPLINE_REACH : s->width + q - FA_SPLINE_REACH;
        from = fa_beyond(j, s->width, border);
        for (i = 0; i < s->height; i++)
            for (k = 0; k < channels; k++)
                s->first[i * s->row + j * channels + k]
                    = from < 0 ? (double)of->cval : s->first[i * s->row + from * channels + k];
    }
    for (q = 0; q < 2 * FA_SPLINE_REACH; q++) {
        i = q < FA_SPLINE_REACH ? q : s->height + q;
        from = fa_beyond(i - FA_SPLINE_REACH, s->height, border);
        if (from >= 0)
            memcpy(s->all + i * s->row, s->all + (from + FA_SPLINE_REACH) * s->row,
                   (size_t)s->row * sizeof(double));
        else
            for (j = 0; j < s->row; j++) s->all[i * s->row + j] = (double)of->cval;
    }
}

/* ---- samples --------------------------------------------------------------------------------- */

/* Along one axis, which coefficients have a part in some samples, and how much. */
typedef struct {
    int32_t first[FA_SPLINE_CHUNK];
    double weight[FA_SPLINE_TAPS][FA_SPLINE_CHUNK];
} fa_taps;

/* Brings a coordinate, counted from the first filtered pixel, into reach. Returns 0 where the sample
 * is the constant. */
FA_INLINE int fa_spline_fold(double *coordinate, ptrdiff_t n, int border)
{
    /* beyond these no coefficient of the image has a part */
    const double v = *coordinate, low = -3, high = (double)(n + 2);
    if (v >= 0 && v <= (double)(n - 1)) return 1;
    if (border == FA_GRID_CONSTANT) return v > low && v < high;
    if (border != FA_NEAREST) return fa_fold(coordinate, n, border);
    *coordinate = v > low ? (v < high ? v : high) : low; /* NaN too */
    return 1;
}

/* The B-splines of a degree, of which `w` has those of the degree before, at t of 0..1 in their middle
 * (C. de Boor, "On calculating with B-splines", Journal of Approximation Theory 6, 1972). */
FA_INLINE void fa_next_degree(const int degree, double t, double *w)
{
    const double part = 1.0 / degree;
    int k;
    w[degree] = part * t * w[degree - 1];
    for (k = degree - 1; k > 0; k--)
        w[k] = part * ((t + (degree - k)) * w[k - 1] + ((k + 1) - t) * w[k]);
    w[0] = part * (1 - t) * w[0];
}

/* Locates some samples, whose coordinates are in reach, along an axis. */
FA_INLINE void fa_set_taps(const double *FA_RESTRICT at, ptrdiff_t count, const int order,
                           fa_taps *FA_RESTRICT taps)
{
    ptrdiff_t j;
    int k;
    for (j = 0; j < count; j++) {
        const double shifted = order % 2 ? at[j] : at[j] + 0.5, knot = floor(shifted);
        const double t = shifted - knot;
        double w[FA_SPLINE_TAPS] = {1 - t, t};
        fa_next_degree(2, t, w);
        if (order >= 3) fa_next_degree(3, t, w);
        if (order >= 4) fa_next_degree(4, t, w);
        if (order >= 5) fa_next_degree(5, t, w);
        taps->first[j] = (int32_t)knot - order / 2;
        for (k = 0; k <= order; k++) taps->weight[k][j] = w[k];
    }
}

/* Sums the coefficients of each sample, down and then across: `count` channels of them, 1 or 3, of
 * pixels that are `channels` values apart. out: where the first sample goes, and the others `step`
 * values further each. */
FA_INLINE void fa_spline_sum(const fa_spline *s, const fa_taps *rows, const fa_taps *columns,
                             ptrdiff_t samples, const int order, const ptrdiff_t count,
                             const ptrdiff_t channels, const double *FA_RESTRICT first,
                             ptrdiff_t step, float *FA_RESTRICT out)
{
    ptrdiff_t j, k;
    int l, q;
    for (j = 0; j < samples; j++) {
        const double *p = first + rows->first[j] * s->row + columns->first[j] * channels;
        double down[FA_SPLINE_TAPS * 3];
        for (q = 0; q <= order; q++)
            for (k = 0; k < count; k++)
                down[q * count + k] = rows->weight[0][j] * p[q * channels + k];
        for (l = 1; l <= order; l++)
            for (q = 0; q <= order; q++)
                for (k = 0; k < count; k++)
                    down[q * count + k] += rows->weight[l][j] * p[l * s->row + q * channels + k];
        for (k = 0; k < count; k++) {
            double sum = down[k] * columns->weight[0][j];
            for (q = 1; q <= order; q++) sum += down[q * count + k] * columns->weight[q][j];
            out[j * step + k] = (float)sum;
        }
    }
}

/* Some samples at coordinates (r, c), which are in reach. */
FA_INLINE void fa_spline_sample(const fa_spline *s, const double *r, const double *c,
                                ptrdiff_t samples, const int order, ptrdiff_t channels,
                                ptrdiff_t step, float *out)
{
    fa_taps rows, columns;
    ptrdiff_t k;
    fa_set_taps(r, samples, order, &rows);
    fa_set_taps(c, samples, order, &columns);
    if (channels == 3)
        fa_spline_sum(s, &rows, &columns, samples, order, 3, 3, s->first, step, out);
    else
        for (k = 0; k < channels; k++)
            fa_spline_sum(s, &rows, &columns, samples, order, 1, channels, s->first + k, step,
                          out + k);
}

/* The same, of any of the orders. */
FA_CLONES static void fa_spline_sample_any(const fa_spline *s, const double *r, const double *c,
                                           ptrdiff_t samples, int order, ptrdiff_t channels,
                                           ptrdiff_t step, float *out)
{
    if (order == 2) fa_spline_sample(s, r, c, samples, 2, channels, step, out);
    else if (order == 3) fa_spline_sample(s, r, c, samples, 3, channels, step, out);
    else if (order == 4) fa_spline_sample(s, r, c, samples, 4, channels, step, out);
    else fa_spline_sample(s, r, c, samples, 5, channels, step, out);
}

/* Samples the coefficients.
 *
 * from: What they are of.
 * m: The matrix, as in fa_matrix.
 * flip_horizontal, flip_vertical: Whether the result is flipped.
 * rows: Gets each row of it while that is in the cache.
 * out: Where it goes; see fa_row_line. */
static void fa_spline_warp(const fa_spline *s, const fa_sampling *from, const double *m,
                           int flip_horizontal, int flip_vertical, fa_rows *rows, float *out)
{
    const fa_form *form = &rows->program->form;
    const ptrdiff_t height = form->height, width = form->width, channels = form->channels;
    const double padding = (double)s->padding;
    double r[FA_SPLINE_CHUNK], c[FA_SPLINE_CHUNK];
    int outside[FA_SPLINE_CHUNK];
    ptrdiff_t i, j, k, first;
    for (i = 0; i < height; i++) {
        const double row = (double)i;
        /* summed in SciPy's order, which decides on which side of the border a pixel comes to lie */
        const double start[2] = {m[2] + m[0] * row, m[5] + m[3] * row};
        float *line = fa_row_line(rows, i, flip_vertical, out);
        for (first = 0; first < width; first += FA_SPLINE_CHUNK) {
            const ptrdiff_t left = width - first;
            const ptrdiff_t count = left < FA_SPLINE_CHUNK ? left : FA_SPLINE_CHUNK;
            const ptrdiff_t step = flip_horizontal ? -channels : channels;
            float *pixels = line + (flip_horizontal ? width - 1 - first : first) * channels;
            for (j = 0; j < count; j++) {
                const double column = (double)(first + j);
                r[j] = start[0] + m[1] * column + padding;
                c[j] = start[1] + m[4] * column + padding;
                outside[j] = !fa_spline_fold(&r[j], s->height, from->border)
                    || !fa_spline_fold(&c[j], s->width, from->border);
                if (outside[j]) r[j] = c[j] = 0;
            }
            fa_spline_sample_any(s, r, c, count, from->order, channels, step, pixels);
            for (j = 0; j < count; j++)
                if (outside[j])
                    for (k = 0; k < channels; k++) pixels[j * step + k] = from->cval;
        }
        fa_row_done(rows, i, flip_vertical, out);
    }
}

#endif
