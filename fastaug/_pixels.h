/* Pixel loops of the core: plain C, no Python, no allocation; the only state is the choice of SIMD.
 *
 * An image here is float32 or uint8, contiguous, (height, width, channels), and so is what becomes of
 * it; its rows are computed as float32 in any case, and bytes made of them while they are in the
 * cache. A coordinate is a double in units of pixels, (row, column), pixel centres on the integers.
 * The border rules are those of scipy.ndimage, which Keras uses:
 *
 *     nearest        a a a a | a b c d | d d d d
 *     reflect        d c b a | a b c d | d c b a
 *     mirror         . d c b | a b c d | c b a .
 *     grid-wrap      a b c d | a b c d | a b c d
 *     wrap           period n - 1: the first and the last pixel are the same point
 *     constant       k k k k | a b c d | k k k k    a sample outside [0, n - 1] is k whole
 *     grid-constant  k k k k | a b c d | k k k k    samples blend into k over one pixel
 *
 * An image's way: _convert.h if it is of neither type, _locate.h, _warp.h for either pixel type or,
 * from order 2 on, _spline.h, a row sink here, _values.h. Compiled without contraction of a * b + c, so that every instruction set gives
 * the same bits.
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
    int order;                /* 0 to 5 */
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
    int source;               /* enum fa_type of images that are made float32 first, or 0: none are */
} fa_plan;

#include "_convert.h"
#include "_locate.h"
#include "_exact.h"

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

#include "_spline.h"

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

#include "_values.h"
#include "_pick.h"

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
 * into channels_last; work then holds one image. memory: fa_spline_values. */
static void fa_place(const fa_plan *plan, const void *image, int is_float, ptrdiff_t behind,
                     const double *row, const double *m, void *work, float *memory,
                     fa_row_sink *sink, float *out)
{
    fa_spline spline;
    const int flip_h = row[FA_FLIP_HORIZONTAL] != 0, flip_v = row[FA_FLIP_VERTICAL] != 0;
    sink->next_row = plan->width * plan->channels * (ptrdiff_t)(is_float ? sizeof(float) : 1);
#define FA_PLACE(type) \
    const void *source = fa_channels_last_##type(plan, image, work); \
    if (m && plan->order > 1) { \
        fa_set_spline(&spline, plan, fa_as_doubles(memory)); \
        fa_spline_fill_##type(&spline, plan, source); \
        fa_spline_coefficients(&spline, plan); \
        fa_spline_warp(&spline, plan, m, flip_h, flip_v, sink, out); \
    } else if (m) { \
        fa_warp_##type(plan, source, source == image ? behind : 0, m, flip_h, flip_v, sink, out); \
    } else { \
        fa_copy_##type(plan, source, flip_h, flip_v, sink, out); \
    }
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
    float *memory = plan->channels_first ? turned + pixels * plan->channels : work;
    fa_row_sink sink;
    fa_open_sink(plan, row, standardize, &sink);
    sink.next = next;
    fa_place(plan, image, is_float, behind, row, fa_has_geometry(row) ? m : NULL, turned, memory,
             &sink, target);
    fa_finish(plan, row, standardize, &sink, target);
    if (plan->channels_first) fa_to_channels_first_f32(target, pixels, plan->channels, out);
}

/* Values of float32 that fa_process_bytes works in: rows, or an image that is shifted as floats. */
FA_INLINE ptrdiff_t fa_line_values(const fa_plan *plan)
{
    const ptrdiff_t row_size = plan->width * plan->channels;
    return (plan->truncates ? plan->height : fa_waiting_rows(plan)) * row_size;
}

/* The same from bytes to bytes, without standardization, of order 0 or 1. */
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
    if (!shifts || !plan->truncates) {
        sink.extrema = 0; /* of bytes, later */
        sink.lines = work;
        sink.bytes = target;
    }
    fa_place(plan, image, 0, behind, row, fa_has_geometry(row) ? m : NULL, turned, NULL, &sink,
             work);
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

/* Values of the memory that an image is worked on in; without the image itself, where it is made
 * float32 first. */
FA_INLINE ptrdiff_t fa_own_values(const fa_plan *plan, int to_bytes)
{
    const ptrdiff_t two = plan->channels_first ? 2 * plan->height * plan->width * plan->channels : 0;
    const ptrdiff_t value = (ptrdiff_t)sizeof(float);
    return to_bytes ? fa_line_values(plan) + (two + value - 1) / value
                    : two + fa_spline_values(plan);
}

/* And with it. */
static ptrdiff_t fa_work_values(const fa_plan *plan, int to_bytes)
{
    const ptrdiff_t size = plan->height * plan->width * plan->channels;
    return fa_own_values(plan, to_bytes) + (plan->source != FA_NO_TYPE ? size + FA_BLOCK : 0);
}

/* A batch: which images, what becomes of each, and where it goes. */
typedef struct {
    const fa_plan *plan;
    const char *images;       /* uint8 or float32, or of the type that the plan says */
    int is_float;
    int converts;             /* whether they are of that type */
    ptrdiff_t stride, count;  /* bytes from an image to the next, and how many there are */
    const int64_t *index;     /* of an image for each place in the batch */
    const double *table;      /* FA_COLUMNS parameters for each place */
    const double *matrices;   /* 2 x 3 for each place, or NULL: those of the parameters */
    ptrdiff_t places;
    int standardize;
    int to_bytes;             /* whether out is uint8; then the images are, and nothing standardizes */
    void **outs;              /* where the results go, so many places after each other in each */
    ptrdiff_t out_places;
} fa_batch;

/* Whether an image is standardized at most, by what fa_standardize knows. */
FA_INLINE int fa_stays(const fa_plan *plan, const double *row)
{
    return !fa_has_geometry(row) && row[FA_FLIP_HORIZONTAL] == 0 && row[FA_FLIP_VERTICAL] == 0
        && isnan(row[FA_CHANNEL_SHIFT]) && isnan(row[FA_BRIGHTNESS]) && !plan->function_scale;
}

/* Some places of a batch. threads: how many may work on it, each on as many places; 0: images beyond
 * these places may not be there yet. work: fa_work_values. */
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
        void *out = batch->outs[i / batch->out_places];
        const ptrdiff_t offset = i % batch->out_places * size;
        if (batch->matrices) m = batch->matrices + i * 6;
        else fa_matrix(row, plan->height, plan->width, matrix);
        if (after < (threads ? batch->places : stop))
            next = (uintptr_t)(batch->images + (ptrdiff_t)batch->index[after] * batch->stride);
        image = batch->images + place * batch->stride;
        if (batch->converts) {
            float *pixels = work + fa_own_values(plan, 0);
            const int stays = fa_stays(plan, row);
            if (stays) pixels = (float *)out + offset;
            fa_to_floats(plan->source, image, size, pixels);
            if (stays) {
                if (batch->standardize) fa_standardize(plan, pixels);
                continue;
            }
            fa_process(plan, pixels, 1, FA_BLOCK, 0, row, m, batch->standardize, work,
                       (float *)out + offset);
            continue;
        }
        if (batch->to_bytes)
            fa_process_bytes(plan, (const uint8_t *)image, place + 1 < batch->count ? behind : 0,
                             next, row, m, work, (uint8_t *)out + offset);
        else
            fa_process(plan, image, batch->is_float, place + 1 < batch->count ? behind : 0, next,
                       row, m, batch->standardize, work, (float *)out + offset);
    }
}

/* The same around a warp in Python: the source as float32, channels last; */
static void fa_before_warp(const fa_plan *plan, const void *image, int is_float, void *work,
                           float *out)
{
    const double upright[FA_COLUMNS] = {0};
    fa_row_sink nothing = {0, 0, {0}, {0}, 0, NULL, NULL, 0, 0};
    fa_place(plan, image, is_float, 0, upright, NULL, work, NULL, &nothing, out);
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
