/* What is done to an image around Keras's order of work: a crop before it, and ops on whole images after
 * its brightness, before standardization.
 *
 * An image's way: a crop of the source, resized to the form (resample.h); Keras's warp, shifts and
 * brightness (process.h), of which come bytes if the source has bytes; the steps of image_ops.h; then
 * standardization (process.h). What becomes of each value of a byte is kept in tables as long as nothing
 * else needs the values: neighbouring steps are one.
 */
#ifndef FASTAUG_AUGMENT_H
#define FASTAUG_AUGMENT_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "affine.h"
#include "arrays.h"
#include "border.h"
#include "canvas.h"
#include "colour.h"
#include "geometry.h"
#include "image.h"
#include "image_ops.h"
#include "tables.h"
#include "platform.h"
#include "process.h"
#include "program.h"
#include "resample.h"
#include "values.h"
#include "warp.h"

/* ---- tables of bytes ----------------------------------------------------------------------------- */

/* What becomes of the values of each channel, that has not been done yet. */
typedef struct {
    int is_identity;
    uint8_t table[FA_CANVAS_CHANNELS][256];
} fa_pending;

static void fa_reset_pending(fa_pending *pending)
{
    ptrdiff_t c, k;
    pending->is_identity = 1;
    for (c = 0; c < FA_CANVAS_CHANNELS; c++)
        for (k = 0; k < 256; k++) pending->table[c][k] = (uint8_t)k;
}

static void fa_do_pending(fa_pending *pending, fa_canvas *canvas)
{
    if (pending->is_identity) return;
    if (canvas->channels == 1 || (!memcmp(pending->table[0], pending->table[1], 256)
                                  && !memcmp(pending->table[0], pending->table[2], 256)))
        fa_map_bytes(canvas->data, fa_canvas_size(canvas), pending->table[0]);
    else
        fa_map_three(canvas->data, fa_canvas_size(canvas),
                         (const uint8_t (*)[256])pending->table);
    fa_reset_pending(pending);
}

/* ---- statistics ---------------------------------------------------------------------------------- */

/* Counts the values of each channel, as the pending tables make them. */
static void fa_count_values(const fa_canvas *canvas, const fa_pending *pending,
                            fa_statistics *statistics)
{
    const uint8_t *x = canvas->data;
    const ptrdiff_t size = fa_canvas_size(canvas), channels = canvas->channels;
    uint32_t found[4][256]; /* several of a channel: equal values do not wait for each other */
    ptrdiff_t i, c, k;
    memset(statistics->histogram, 0, sizeof statistics->histogram);
    for (c = 0; c < channels; c++) {
        memset(found, 0, sizeof found);
        for (i = c; i + 3 * channels < size; i += 4 * channels)
            for (k = 0; k < 4; k++) found[k][x[i + k * channels]]++;
        for (; i < size; i += channels) found[0][x[i]]++;
        for (i = 0; i < 256; i++)
            statistics->histogram[c][pending->table[c][i]] +=
                found[0][i] + found[1][i] + found[2][i] + found[3][i];
    }
}

#define FA_RANGE_LANES 96  /* of vectors, and of whole pixels of one channel or three */

/* Finds the least and the greatest value of each channel. */
FA_CLONES static void fa_find_range(const fa_canvas *canvas, fa_statistics *statistics)
{
    const uint8_t *x = canvas->data;
    const ptrdiff_t size = fa_canvas_size(canvas);
    uint8_t low[FA_RANGE_LANES], high[FA_RANGE_LANES];
    ptrdiff_t i, k;
    memset(low, 255, sizeof low);
    memset(high, 0, sizeof high);
    memset(statistics->low, 255, sizeof statistics->low);
    memset(statistics->high, 0, sizeof statistics->high);
    for (i = 0; i + FA_RANGE_LANES <= size; i += FA_RANGE_LANES)
        for (k = 0; k < FA_RANGE_LANES; k++) {
            low[k] = x[i + k] < low[k] ? x[i + k] : low[k];
            high[k] = x[i + k] > high[k] ? x[i + k] : high[k];
        }
    for (k = 0; i + k < size; k++) {
        low[k] = x[i + k] < low[k] ? x[i + k] : low[k];
        high[k] = x[i + k] > high[k] ? x[i + k] : high[k];
    }
    for (k = 0; k < FA_RANGE_LANES; k++) {
        const ptrdiff_t c = k % canvas->channels;
        statistics->low[c] = low[k] < statistics->low[c] ? low[k] : statistics->low[c];
        statistics->high[c] = high[k] > statistics->high[c] ? high[k] : statistics->high[c];
    }
}

/* The mean grey of the pixels, each without its fraction. */
static double fa_find_grey_mean(const fa_canvas *canvas)
{
    const uint8_t *x = canvas->data;
    const ptrdiff_t pixels = canvas->height * canvas->width;
    ptrdiff_t sum = 0, i;
    if (canvas->channels == 3) return fa_sum_grey(x, pixels) / (double)pixels;
    for (i = 0; i < pixels; i++) sum += x[i];
    return (double)sum / (double)pixels;
}

struct fa_augment {
    fa_program bytes;          /* Keras's steps, of a source of bytes, */
    fa_program floats;         /* or of floats */
    fa_program after;          /* standardization */
    ptrdiff_t crop;            /* the first column of the crop, or -1 */
    const fa_image_step *steps;
    ptrdiff_t count;
    int rounds;                /* whether floats become bytes before the steps */
    int only_moves;            /* only pixels are moved, as the sampler of `bytes` and `floats` says: */
};                             /* of a mask, which goes where its image goes */

/* ---- sampling ------------------------------------------------------------------------------------ */

/* A sampler's program: pixels of one kind in, the same out, and nothing else done to them. */
static fa_program fa_sampling_program(const fa_program *like, int is_bytes, int order, float fill)
{
    fa_program program = *like;
    program.form.channels_first = 0;
    program.form.is_bytes = is_bytes;
    program.form.truncates = 0;
    program.sampler.order = order;
    program.sampler.border = FA_GRID_CONSTANT;
    program.sampler.cval = fill;
    program.augment = NULL;
    program.sampler.fill = like->augment->only_moves ? like->sampler.fill : NULL;
    program.steps = NULL;
    program.count = program.standardization = program.after_function = 0;
    return program;
}

/* A row of the table of which no op is on. */
static const double fa_no_parameters[FA_COLUMNS] = {0, 0, 0, 0, 1, 1, 0, 0, NAN, NAN};

/* Samples an image of a canvas by a matrix from the centre.
 *
 * order, fill: The order of interpolation, and the value outside. */
static void fa_sample_canvas(const fa_program *program, double *m, int order, float fill, float *work,
                             fa_canvas *canvas)
{
    const uint8_t *label = program->augment->only_moves ? program->sampler.fill : NULL;
    fa_from_corner(canvas, m);
    if (order > 0 && !label && m[6] == 0 && m[7] == 0) {
        const fa_program sample = fa_sampling_program(program, canvas->is_bytes, order, fill);
        fa_image image;
        double row[FA_COLUMNS];
        image.data = canvas->data;
        image.height = canvas->height;
        image.width = canvas->width;
        image.row = canvas->width * canvas->channels;
        image.padding = 0;
        image.type = canvas->is_bytes ? FA_UINT8 : FA_FLOAT32;
        memcpy(row, fa_no_parameters, sizeof row);
        row[FA_TX] = 1; /* the matrix is another, but there is one */
        fa_process(&sample, &image, 0, row, m, 0, work, canvas->other);
        fa_swap_buffers(canvas);
    } else {
        fa_warp_canvas(m, label ? 0 : order, fill, label, canvas);
    }
}

/* ---- the steps ----------------------------------------------------------------------------------- */

/* Sets the programs of the parts from the whole one, which they are a part of. */
static void fa_set_augment(const fa_program *program, fa_augment *augment)
{
    fa_program before = *program;
    before.form.channels_first = 0;
    before.form.truncates = 0;
    before.form.is_bytes = 0;
    before.augment = NULL;
    before.count = before.after_function = program->standardization;
    augment->floats = augment->bytes = before;
    augment->bytes.form.is_bytes = before.sampler.order <= 1;
    augment->after = before;
    augment->after.steps = program->steps + program->standardization;
    augment->after.count = program->count - program->standardization;
    augment->after.standardization = 0;
    augment->after.after_function = program->after_function - program->standardization;
}

/* The op of a step that is on, and its columns; NULL: it is off, or cannot be done to such images. */
static const fa_image_op *fa_op_of(const fa_augment *augment, ptrdiff_t k, const double *row,
                                   const double **p)
{
    const fa_image_op *op = augment->steps[k].op;
    const ptrdiff_t channels = augment->bytes.form.channels;
    *p = row + augment->steps[k].column;
    if (isnan(**p)) return NULL;
    if (!op) { /* a slot: numbers of a table that somebody has changed name no op */
        const double number = *(*p)++;
        if (!(number >= 0 && number < (double)FA_IMAGE_OPS)) return NULL;
        op = &fa_image_ops[(int)number];
        if (augment->steps[k].column + 1 + op->columns > augment->bytes.columns) return NULL;
        if (op->only_colours && channels != 1 && channels != 3 && !augment->only_moves) return NULL;
    }
    return op;
}

/* Does the steps to an image.
 *
 * row: Its row of the parameter table.
 * work: Memory, as for fa_process. */
static void fa_apply_image_steps(const fa_program *program, const double *row, float *work,
                                 fa_canvas *canvas)
{
    const fa_augment *augment = program->augment;
    fa_pending pending;
    fa_statistics statistics;
    ptrdiff_t k, c;
    fa_reset_pending(&pending);
    for (k = 0; k < augment->count; k++) {
        const double *p;
        const fa_image_op *op = fa_op_of(augment, k, row, &p);
        if (!op || (augment->only_moves && !op->matrix)) continue;
        if (op->matrix) {
            const fa_sampler *own = &augment->bytes.sampler;
            const int order = augment->only_moves ? own->order : p[op->columns - 2] > 0;
            const float fill = augment->only_moves ? own->cval : (float)p[op->columns - 1];
            double m[9], other[9];
            op->matrix(p, m);
            for (; k + 1 < augment->count; k++) { /* those that follow: one interpolation */
                const double *q;
                const fa_image_op *following = fa_op_of(augment, k + 1, row, &q);
                if (!following) continue;
                /* a mask is interpolated as often as its image */
                if (!following->matrix || q[following->columns - 2] != p[op->columns - 2]
                    || q[following->columns - 1] != p[op->columns - 1])
                    break;
                following->matrix(q, other);
                fa_compose(m, other);
            }
            fa_do_pending(&pending, canvas);
            fa_sample_canvas(program, m, order, fill, work, canvas);
        } else if (canvas->is_bytes && op->map) {
            if (op->reads == FA_READS_HISTOGRAM) {
                fa_count_values(canvas, &pending, &statistics);
            } else if (op->reads == FA_READS_RANGE) {
                fa_do_pending(&pending, canvas);
                fa_find_range(canvas, &statistics);
            } else if (op->reads == FA_READS_GREY_MEAN) {
                fa_do_pending(&pending, canvas);
                statistics.grey_mean = fa_find_grey_mean(canvas);
            }
            for (c = 0; c < canvas->channels; c++) op->map(p, &statistics, c, pending.table[c]);
            pending.is_identity = 0;
        } else if (canvas->is_bytes && op->apply_bytes) {
            fa_do_pending(&pending, canvas);
            op->apply_bytes(p, canvas);
        } else if (!canvas->is_bytes && op->apply_floats) {
            op->apply_floats(p, canvas);
        }
    }
    fa_do_pending(&pending, canvas);
}

/* ---- one image ----------------------------------------------------------------------------------- */

/* Columns of a crop: a box in pixels of the source, of which what is outside is `fill`; and how it is
 * resized. NaN in the first: none. */
enum fa_crop_column { FA_CROP_TOP, FA_CROP_LEFT, FA_CROP_HEIGHT, FA_CROP_WIDTH, FA_CROP_FILTER,
                      FA_CROP_FILL, FA_CROP_COLUMNS };

/* Parts of the memory of a thread. */
typedef struct {
    char *pixels;              /* the source, where that is in planes */
    char *crop;                /* of it */
    int32_t *weights[2];       /* of the crop's rows and columns */
    double *filter;            /* values of a filter */
    uint8_t *resample;         /* memory for fa_resample */
    float *work;               /* for fa_process */
    char *canvas[2];
    float *memory;             /* of the canvas */
    float *result;             /* in pixels, where planes are made */
} fa_areas;

/* Takes the next bytes of some memory, or only counts them. */
static char *fa_carve(char *memory, ptrdiff_t *used, ptrdiff_t bytes)
{
    char *area = memory ? memory + *used : NULL;
    *used += (bytes + FA_LINE - 1) / FA_LINE * FA_LINE;
    return area;
}

/* Weights that a pixel of a crop has at most, along an axis. */
FA_INLINE ptrdiff_t fa_crop_taps(ptrdiff_t length, ptrdiff_t size)
{
    return fa_count_taps(FA_LANCZOS, 0, (float)length, size);
}

/* Divides memory into what is needed for a source; returns how many bytes that is.
 *
 * memory: The memory, or NULL to count. */
static ptrdiff_t fa_set_areas(const fa_program *program, const fa_image *image, char *memory,
                              fa_areas *areas)
{
    const fa_augment *augment = program->augment;
    const fa_form *form = &program->form;
    const ptrdiff_t value = image->type == FA_UINT8 ? 1 : (ptrdiff_t)sizeof(float);
    const ptrdiff_t size = fa_form_size(form), channels = form->channels;
    const ptrdiff_t floats = size * (ptrdiff_t)sizeof(float);
    const ptrdiff_t line = form->width * channels * (ptrdiff_t)sizeof(float);
    const fa_program *before = image->type == FA_UINT8 ? &augment->bytes : &augment->floats;
    fa_image canvas = {NULL, 0, 0, 0, 0, 0};
    const ptrdiff_t sampled = fa_waiting_rows(form) * form->width * channels;
    ptrdiff_t used = 0, work, after;
    memset(areas, 0, sizeof *areas);
    if (form->channels_first)
        areas->pixels = fa_carve(memory, &used, fa_image_size(image, form) * value);
    if (augment->crop >= 0) {
        const ptrdiff_t rows = fa_crop_taps(image->height, form->height);
        const ptrdiff_t columns = fa_crop_taps(image->width, form->width);
        const ptrdiff_t down = image->height * form->width, across = form->height * image->width;
        const ptrdiff_t whole = (down > across ? down : across) + image->width;
        const ptrdiff_t number = (ptrdiff_t)sizeof(int32_t);
        areas->crop = fa_carve(memory, &used, size * value);
        areas->weights[0] = (int32_t *)(void *)fa_carve(memory, &used,
                                                        form->height * (2 * rows + 2) * number);
        areas->weights[1] = (int32_t *)(void *)fa_carve(memory, &used,
                                                        form->width * (2 * columns + 2) * number);
        areas->filter = (double *)(void *)fa_carve(
            memory, &used, (rows > columns ? rows : columns) * (ptrdiff_t)sizeof(double));
        areas->resample = (uint8_t *)fa_carve(memory, &used, whole * channels + FA_ROW_READS);
    }
    canvas.height = form->height;
    canvas.width = form->width;
    canvas.row = form->width * channels;
    work = fa_process_values(before, image);
    after = fa_process_values(&augment->after, &canvas);
    if (after > work) work = after;
    if (sampled > work) work = sampled;
    areas->work = (float *)(void *)fa_carve(memory, &used, work * (ptrdiff_t)sizeof(float));
    areas->canvas[0] = fa_carve(memory, &used, size * value);
    areas->canvas[1] = fa_carve(memory, &used, size * value);
    areas->memory = (float *)(void *)fa_carve(memory, &used, floats + FA_CANVAS_LINES * line);
    if (form->channels_first) areas->result = (float *)(void *)fa_carve(memory, &used, floats);
    return used;
}

/* Values of float32 that fa_process_augmented needs for a source. */
static ptrdiff_t fa_augmented_values(const fa_program *program, const fa_image *image)
{
    fa_areas areas;
    const ptrdiff_t bytes = fa_set_areas(program, image, NULL, &areas) + FA_LINE;
    return (bytes + (ptrdiff_t)sizeof(float) - 1) / (ptrdiff_t)sizeof(float);
}

/* The weights of a stretch of pixels that is resized, in memory that is there for them. */
static fa_weights fa_stretch_weights(int filter, ptrdiff_t length, ptrdiff_t size, int32_t *memory,
                                     double *values)
{
    const ptrdiff_t taps = fa_count_taps(filter, 0, (float)length, size);
    fa_weights weights;
    weights.size = size;
    weights.taps = taps;
    weights.first = memory;
    weights.count = memory + size;
    weights.weight = memory + 2 * size;
    weights.halves = memory + (2 + taps) * size;
    fa_set_weights(filter, length, 0, (float)length, size, taps, values, memory, memory + size,
                   memory + 2 * size, memory + (2 + taps) * size);
    return weights;
}

/* The crop of a source of pixels: a part of it where it is, or a new image of the size of the form.
 *
 * p: The columns of the crop.
 * magnifies: Whether a part that is smaller than the form, and is to be interpolated linearly, may stay
 *     as it is; that of a mask or of floats does, whatever its size. */
static fa_image fa_crop(const fa_program *program, const fa_image *image, const double *p,
                        int magnifies, const fa_areas *areas)
{
    const fa_form *form = &program->form;
    const ptrdiff_t channels = form->channels, value = image->type == FA_UINT8 ? 1 : 4;
    const ptrdiff_t most = (ptrdiff_t)1 << 30; /* pixels of a side */
    const ptrdiff_t top = fa_within(p[FA_CROP_TOP] + (double)most, 2 * most) - most;
    const ptrdiff_t left = fa_within(p[FA_CROP_LEFT] + (double)most, 2 * most) - most;
    const ptrdiff_t height = fa_within(p[FA_CROP_HEIGHT] - 1, most) + 1;
    const ptrdiff_t width = fa_within(p[FA_CROP_WIDTH] - 1, most) + 1;
    const int filter = (int)fa_within(p[FA_CROP_FILTER], FA_FILTERS - 1);
    fa_image crop = *image;
    if (top < 0 || left < 0 || top + height > image->height || left + width > image->width) {
        const float fill = program->augment->only_moves ? program->sampler.cval
            : (float)p[FA_CROP_FILL];
        const fa_program sample = fa_sampling_program(program, value == 1, 0, fill);
        double m[6] = {1, 0, 0, 0, 1, 0};
        double row[FA_COLUMNS];
        memcpy(row, fa_no_parameters, sizeof row);
        m[2] = (double)top;
        m[5] = (double)left;
        row[FA_TX] = 1; /* the matrix is another, but there is one */
        fa_process(&sample, image, 0, row, m, 0, areas->work, areas->crop);
    } else {
        const uint8_t *data = (const uint8_t *)image->data + (top * image->row + left * channels) * value;
        crop.data = data;
        crop.height = height;
        crop.width = width;
        crop.padding = 0;
        if (height == form->height && width == form->width) return crop;
        if (program->augment->only_moves || value != 1
            || (magnifies && filter == FA_BILINEAR && height <= form->height
                && width <= form->width))
            return crop;
        {
            const ptrdiff_t fewer = height - form->height, narrower = 2 * (width - form->width);
            const fa_weights rows = fa_stretch_weights(filter, height, form->height,
                                                       areas->weights[0], areas->filter);
            const fa_weights columns = fa_stretch_weights(filter, width, form->width,
                                                          areas->weights[1], areas->filter);
            fa_resample(data, image->row, height, width, channels,
                        height == form->height ? NULL : &rows,
                        width == form->width ? NULL : &columns,
                        fewer > (narrower > 0 ? narrower : 0), areas->resample,
                        (uint8_t *)areas->crop);
        }
    }
    crop.data = areas->crop;
    crop.height = form->height;
    crop.width = form->width;
    crop.row = form->width * channels;
    crop.padding = 0;
    return crop;
}

/* Makes a matrix one that takes samples of a smaller source in place of the form's: resized and warped
 * is interpolated once. */
static void fa_magnify(const fa_form *form, const fa_image *source, double *m)
{
    const double down = (double)source->height / (double)form->height;
    const double right = (double)source->width / (double)form->width;
    int k;
    for (k = 0; k < 3; k++) {
        m[k] *= down;
        m[3 + k] *= right;
    }
    m[2] += (down - 1) / 2;
    m[5] += (right - 1) / 2;
}

/* Whether Keras's steps do no more to a source than to flip it. */
static int fa_only_flips(const fa_program *before, const fa_image *source, const double *row)
{
    return !fa_has_geometry(row) && source->height == before->form.height
        && source->width == before->form.width
        && fa_next_on(before, row, 0, before->count) == before->count;
}

/* Puts a source that is only flipped on a canvas.
 *
 * own: Memory that the source may lie in and that is the canvas's from now on. */
static void fa_flip_onto(const fa_image *source, const double *row, char *own, fa_canvas *canvas)
{
    const ptrdiff_t pixel = canvas->channels * (canvas->is_bytes ? 1 : (ptrdiff_t)sizeof(float));
    const ptrdiff_t line = canvas->width * pixel;
    const ptrdiff_t stride = source->row * (canvas->is_bytes ? 1 : (ptrdiff_t)sizeof(float));
    ptrdiff_t i;
    if (source->data == own) {
        canvas->data = own;
    } else {
        for (i = 0; i < canvas->height; i++)
            memcpy((char *)canvas->data + i * line, (const char *)source->data + i * stride,
                   (size_t)line);
    }
    if (row[FA_FLIP_HORIZONTAL] != 0 || row[FA_FLIP_VERTICAL] != 0)
        fa_flip(canvas->data, canvas->height, canvas->width, pixel, row[FA_FLIP_HORIZONTAL] != 0,
                row[FA_FLIP_VERTICAL] != 0);
}

/* Works on one image as fa_process does, with what a program has around Keras's steps. */
static void fa_process_augmented(const fa_program *program, const fa_image *image, uintptr_t next,
                                 const double *row, const double *m, int standardize, float *work,
                                 void *out)
{
    const fa_augment *augment = program->augment;
    const fa_form *form = &program->form;
    const ptrdiff_t size = fa_form_size(form), pixels = form->height * form->width;
    const int is_bytes = image->type == FA_UINT8;
    const uintptr_t start = ((uintptr_t)work + FA_LINE - 1) / FA_LINE * FA_LINE;
    const fa_program *before = is_bytes ? &augment->bytes : &augment->floats;
    const double *keras_row = row;
    fa_image source = *image;
    fa_canvas canvas;
    fa_areas areas;
    double matrix[6], own_row[FA_COLUMNS];
    fa_set_areas(program, image, (char *)work + (start - (uintptr_t)work), &areas);
    memcpy(matrix, m, sizeof matrix);
    if (form->channels_first) {
        if (is_bytes)
            fa_to_channels_last_u8(image->data, image->height, image->width, form->channels,
                                   image->row, (uint8_t *)areas.pixels);
        else
            fa_to_channels_last_f32(image->data, image->height, image->width, form->channels,
                                    image->row, (float *)(void *)areas.pixels);
        source.data = areas.pixels;
        source.row = image->width * form->channels;
        source.padding = 0;
    }
    if (augment->crop >= 0 && !isnan(row[augment->crop])) {
        source = fa_crop(program, &source, row + augment->crop,
                         fa_has_geometry(row) && before->sampler.order == 1, &areas);
        fa_magnify(form, &source, matrix);
        if ((source.height != form->height || source.width != form->width)
            && !fa_has_geometry(row)) {
            memcpy(own_row, row, sizeof own_row);
            own_row[FA_TX] = 1; /* the matrix is another, but there is one */
            keras_row = own_row;
        }
    }

    canvas.data = form->is_bytes && !form->channels_first ? out : areas.canvas[0];
    canvas.other = areas.canvas[1];
    canvas.memory = areas.memory;
    canvas.height = form->height;
    canvas.width = form->width;
    canvas.channels = form->channels;
    canvas.is_bytes = is_bytes || augment->rounds;
    if (canvas.is_bytes == is_bytes && fa_only_flips(before, &source, keras_row)) {
        fa_flip_onto(&source, keras_row, areas.crop, &canvas);
    } else if (canvas.is_bytes && !before->form.is_bytes) { /* as also a spline makes floats */
        fa_process(before, &source, next, keras_row, matrix, 0, areas.work, areas.memory);
        fa_store_bytes(areas.memory, size, 0.5f, canvas.data);
    } else {
        fa_process(before, &source, next, keras_row, matrix, 0, areas.work, canvas.data);
    }
    fa_apply_image_steps(program, row, areas.work, &canvas);

    if (form->is_bytes) {
        if (form->channels_first)
            fa_to_channels_first_u8(canvas.data, pixels, form->channels, out);
        else if (canvas.data != out)
            memcpy(out, canvas.data, (size_t)size);
        return;
    }
    source.data = canvas.data;
    source.type = canvas.is_bytes ? FA_UINT8 : FA_FLOAT32;
    source.height = form->height;
    source.width = form->width;
    source.row = form->width * form->channels;
    source.padding = 0;
    fa_process(&augment->after, &source, 0, fa_no_parameters, matrix, standardize, areas.work,
               form->channels_first ? areas.result : out);
    if (form->channels_first)
        fa_to_channels_first_f32(areas.result, pixels, form->channels, out);
}

#endif
