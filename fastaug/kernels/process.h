/* One image from source to finished: plain C, no Python, no allocation.
 *
 * An image's way: its source becomes float32 if it is of a type that nothing else reads (convert.h), or
 * its planes become pixels (warp.inc). The sampler makes rows of it (warp.inc, or spline.h from order 2
 * on), which are float32. Steps are done to the rows (rows.h, ops.h, values.h), then to the whole image,
 * and the pixels become planes again. Where bytes are made, they are made of the rows, and the steps that
 * are left are done to the bytes. The pixels of a mask are picked (nearest.h), and nothing is done to them.
 */
#ifndef FASTAUG_PROCESS_H
#define FASTAUG_PROCESS_H

#include <stddef.h>
#include <stdint.h>

#include "affine.h"
#include "convert.h"
#include "image.h"
#include "nearest.h"
#include "ops.h"
#include "platform.h"
#include "program.h"
#include "rows.h"
#include "samples.h"
#include "spline.h"
#include "values.h"
#include "warp.h"

#define FA_SPAN_VALUES 4096  /* of an image that is there, for each op at a time */

/* ---- the steps that are left when the rows are there --------------------------------------------- */

/* Does the steps [first, last) to an image that is there.
 *
 * extrema: What the values are then taken into account for, or NULL.
 * planes: Whether the image is in planes; else in pixels.
 * x: The image. */
static void fa_pass_over(const fa_program *program, ptrdiff_t first, ptrdiff_t last,
                         fa_context *context, fa_extrema *extrema, int planes, float *x)
{
    const fa_form *form = &program->form;
    const ptrdiff_t size = fa_form_size(form), channels = planes ? 1 : form->channels;
    const ptrdiff_t stretch = planes ? form->height * form->width : size;
    const ptrdiff_t most = channels < FA_SPAN_VALUES ? FA_SPAN_VALUES / channels * channels : channels;
    ptrdiff_t i, at;
    for (i = 0; i < size; i += stretch)
        for (at = 0; at < stretch; at += most) {
            fa_span span;
            span.values = x + i + at;
            span.size = stretch - at < most ? stretch - at : most;
            span.channels = channels;
            span.channel = i / stretch;
            fa_apply_steps(program, first, last, context, &span);
            if (extrema) fa_add_extrema(span.values, span.size, extrema);
        }
}

/* Whether all of the steps [first, last) that are on keep the order of values. */
static int fa_are_monotone(const fa_program *program, ptrdiff_t first, ptrdiff_t last,
                           const double *row)
{
    for (; first < last; first++)
        if (fa_is_on(&program->steps[first], row) && !program->steps[first].op->is_monotone) return 0;
    return 1;
}

/* Does the steps [from, stop) to an image that is there, pass by pass.
 *
 * extrema: Those of the image, or NULL where they are not known.
 * planes: Whether the image is in planes.
 * x: The image. */
static void fa_finish(const fa_program *program, fa_context *context, ptrdiff_t from, ptrdiff_t stop,
                      const fa_extrema *extrema, int planes, float *x)
{
    const fa_form *form = &program->form;
    fa_extrema own;
    int known = extrema != NULL; /* whether context->low and high are those of the image */
    if (known) fa_extrema_of(extrema, &context->low, &context->high);
    while ((from = fa_next_on(program, context->row, from, stop)) < stop) {
        const fa_step *step = &program->steps[from];
        const ptrdiff_t end = fa_end_of_pass(program, context->row, from + 1, stop);
        const int is_read = end < stop && program->steps[end].op->reads;
        fa_span span = {x, fa_form_size(form), form->channels, 0};
        if (step->op->reads && !known) {
            fa_reset_extrema(&own);
            fa_add_extrema(span.values, span.size, &own);
            fa_extrema_of(&own, &context->low, &context->high);
        }
        known = 0;
        if (step->op->stage == FA_IMAGE_STAGE) {
            step->op->apply(step, context, &span);
            from++;
        } else {
            /* the extrema become what the steps make of them, or are looked for on the way */
            const int maps = is_read && fa_are_monotone(program, from, end, context->row);
            float low = context->low, high = context->high;
            fa_span least = {&low, 1, 1, 0}, most = {&high, 1, 1, 0};
            fa_reset_extrema(&own);
            fa_pass_over(program, from, end, context, is_read && !maps ? &own : NULL, planes, x);
            if (maps) {
                fa_apply_steps(program, from, end, context, &least);
                fa_apply_steps(program, from, end, context, &most);
            } else if (is_read) {
                fa_extrema_of(&own, &low, &high);
            }
            context->low = low;
            context->high = high;
            known = is_read;
            from = end;
        }
    }
}

/* Standardizes a finished image in place, in the layout of the form; without the function that comes
 * before. */
static void fa_standardize(const fa_program *program, float *x)
{
    fa_context context = {NULL, 0, 0, 1}; /* these steps have no columns */
    fa_finish(program, &context, program->after_function, program->count, NULL,
              program->form.channels_first, x);
}

/* ---- one image ----------------------------------------------------------------------------------- */

/* What is sampled of an image of pixels. */
FA_INLINE fa_sampling fa_sampling_of(const fa_program *program, const fa_image *image)
{
    fa_sampling from;
    from.height = image->height;
    from.width = image->width;
    from.channels = program->form.channels;
    from.row = image->row;
    from.order = program->sampler.order;
    from.border = program->sampler.border;
    from.cval = program->sampler.cval;
    return from;
}

/* Makes the rows of an image: warped or, without a matrix, as they are; and flipped.
 *
 * image: The source, of uint8 or float32.
 * m: The matrix, or NULL.
 * pixels: Memory for the source as pixels, where it is in planes.
 * memory: fa_spline_values.
 * rows: Gets the rows.
 * out: Where they go; see fa_row_line. */
static void fa_make_rows(const fa_program *program, const fa_image *image, const double *row,
                     const double *m, void *pixels, float *memory, fa_rows *rows, float *out)
{
    static const double identity[6] = {1, 0, 0, 0, 1, 0};
    const int flip_h = row[FA_FLIP_HORIZONTAL] != 0, flip_v = row[FA_FLIP_VERTICAL] != 0;
    const fa_form *form = &program->form;
    fa_sampling from = fa_sampling_of(program, image);
    ptrdiff_t padding = image->padding;
    fa_spline spline;
    if (!m && (image->height != form->height || image->width != form->width)) m = identity;
#define FA_MAKE_ROWS(kind, type) { \
        const kind *source = image->data; \
        rows->next_row = image->row * (ptrdiff_t)sizeof(kind); \
        if (form->channels_first) { \
            fa_to_channels_last_##type(source, image->height, image->width, form->channels, image->row, \
                                       pixels); \
            source = pixels; \
            rows->next_row *= form->channels; \
            from.row = image->width * form->channels; \
            padding = 0; \
        } \
        if (m && from.order > 1) { \
            fa_set_spline(&spline, &from, fa_as_doubles(memory)); \
            fa_spline_fill_##type(&spline, &from, source); \
            fa_spline_coefficients(&spline, &from); \
            fa_spline_warp(&spline, &from, m, flip_h, flip_v, rows, out); \
        } else if (m) { \
            fa_warp_##type(source, &from, padding, m, flip_h, flip_v, rows, out); \
        } else { \
            fa_copy_##type(source, &from, flip_h, flip_v, rows, out); \
        } \
    }
    if (image->type == FA_FLOAT32) FA_MAKE_ROWS(float, f32) else FA_MAKE_ROWS(uint8_t, u8)
#undef FA_MAKE_ROWS
}

/* Values of float32 that fa_process works on, where it makes bytes: rows, or an image of floats. */
FA_INLINE ptrdiff_t fa_line_values(const fa_form *form)
{
    return (form->truncates ? form->height : fa_waiting_rows(form)) * form->width * form->channels;
}

/* Works on one image.
 *
 * image: The source, of uint8 or float32.
 * next: Where the image lies that this thread may get next, or 0.
 * row: Its row of the parameter table.
 * m: The matrix of the row, or one that is taken in its place.
 * standardize: Whether the steps of standardization are done too.
 * work: Memory, fa_process_values.
 * out: Where the result goes. */
static void fa_process(const fa_program *program, const fa_image *image, uintptr_t next,
                       const double *row, const double *m, int standardize, float *work, void *out)
{
    const fa_form *form = &program->form;
    const ptrdiff_t size = fa_form_size(form), pixels = form->height * form->width;
    const ptrdiff_t first = form->is_bytes ? fa_line_values(form) : 0;
    /* the result in pixels; memory for the source in pixels; and for splines */
    char *target = form->channels_first ? (char *)(work + first) : out;
    char *source_pixels = form->channels_first
        ? target + size * (ptrdiff_t)(form->is_bytes ? 1 : sizeof(float)) : NULL;
    float *memory = form->is_bytes ? NULL
        : form->channels_first ? (float *)(void *)source_pixels + fa_image_size(image, form) : work;
    const ptrdiff_t stop = standardize ? program->count : program->standardization;
    const ptrdiff_t begin = fa_next_on(program, row, 0, stop);
    fa_context context = {row, 0, 0, 1};
    fa_extrema extrema;
    fa_rows rows = {program, &context, begin, begin, NULL, 0, NULL, NULL, next, 0};
    const double *matrix = fa_has_geometry(row) ? m : NULL;
    if (program->sampler.fill) {
        if (image->height != form->height || image->width != form->width) matrix = m;
        fa_warp_nearest(form, image, row, matrix, program->sampler.fill, out);
        return;
    }
    if (form->is_bytes) {
        /* bytes are made of the rows, unless steps come before that */
        const int is_early = !form->truncates || begin == stop;
        if (is_early) {
            rows.bytes = (uint8_t *)target;
            rows.lines = work;
        }
        fa_make_rows(program, image, row, matrix, source_pixels, memory, &rows, work);
        if (is_early) {
            fa_finish_bytes(program, &context, begin, stop, (uint8_t *)target);
        } else {
            fa_finish(program, &context, begin, stop, NULL, 0, work);
            fa_store_bytes(work, size, 0, (uint8_t *)target);
        }
        if (form->channels_first)
            fa_to_channels_first_u8((uint8_t *)target, pixels, form->channels, out);
        return;
    }
    rows.last = fa_end_of_pass(program, row, begin, stop);
    if (rows.last < stop && program->steps[rows.last].op->reads) {
        rows.extrema = &extrema;
        fa_reset_extrema(&extrema);
    }
    fa_make_rows(program, image, row, matrix, source_pixels, memory, &rows, (float *)(void *)target);
    fa_finish(program, &context, rows.last, stop, rows.extrema, 0, (float *)(void *)target);
    if (form->channels_first)
        fa_to_channels_first_f32((float *)(void *)target, pixels, form->channels, out);
}

/* Values of float32 that fa_process needs for a source. */
FA_INLINE ptrdiff_t fa_process_values(const fa_program *program, const fa_image *image)
{
    const fa_form *form = &program->form;
    const ptrdiff_t value = (ptrdiff_t)sizeof(float);
    const ptrdiff_t two = form->channels_first ? fa_form_size(form) + fa_image_size(image, form) : 0;
    const fa_sampling from = fa_sampling_of(program, image);
    return form->is_bytes ? fa_line_values(form) + (two + value - 1) / value
                          : two + fa_spline_values(&from);
}

#endif
