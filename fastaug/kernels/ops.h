/* The op table: every op that a step may have, and its kernels. */
#ifndef FASTAUG_OPS_H
#define FASTAUG_OPS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "program.h"
#include "values.h"

/* ---- channel_shift: one intensity for all channels, within the extrema of the image -------------- */

static void fa_apply_channel_shift(const fa_step *step, const fa_context *context, const fa_span *span)
{
    fa_channel_shift(span->values, span->size, (float)context->row[step->column], context->low,
                     context->high, context->factor);
}

static void fa_map_channel_shift(const fa_step *step, const fa_context *context, int is_alpha,
                                 uint8_t *table)
{
    const double intensity = context->row[step->column];
    int k;
    (void)is_alpha;
    for (k = 0; k < 256; k++) {
        double v = table[k] + intensity;
        v = v < (double)context->low ? (double)context->low : v;
        v = v > (double)context->high ? (double)context->high : v;
        table[k] = (uint8_t)(float)v;
    }
}

static void fa_channel_shift_bytes(const fa_step *step, const fa_context *context, uint8_t *x,
                                   ptrdiff_t size)
{
    fa_shift_bytes(x, size, context->row[step->column], (uint8_t)context->low,
                   (uint8_t)context->high);
}

/* ---- brightness: a factor, as Pillow's ImageEnhance.Brightness has it --------------------------- */

static void fa_apply_brightness(const fa_step *step, const fa_context *context, const fa_span *span)
{
    fa_brightness(span->values, span->size, span->channels, context->row[step->column], context->low,
                  context->high);
}

static void fa_map_brightness(const fa_step *step, const fa_context *context, int is_alpha,
                              uint8_t *table)
{
    int k;
    if (is_alpha) return;
    for (k = 0; k < 256; k++)
        table[k] = (uint8_t)fa_brightened(context->row[step->column], table[k]);
}

/* ---- linear: a scale and an offset for each channel, in reversed order if it says so ------------- */

static void fa_apply_linear(const fa_step *step, const fa_context *context, const fa_span *span)
{
    (void)context;
    if (step->reverses_channels) fa_reverse_channels(span->values, span->size, span->channels);
    fa_map_channels(span->values, span->size, span->channels, step->scale, step->offset);
}

/* ---- rescale: one factor for all ---------------------------------------------------------------- */

static void fa_apply_rescale(const fa_step *step, const fa_context *context, const fa_span *span)
{
    (void)context;
    fa_normalize(span->values, span->size, 0, step->factor);
}

/* ---- sample_center, sample_std: by the mean and the standard deviation of the image itself ------- */

static void fa_apply_sample_center(const fa_step *step, const fa_context *context,
                                   const fa_span *span)
{
    (void)step;
    (void)context;
    fa_normalize(span->values, span->size,
                 (float)(fa_sum(span->values, span->size) / (double)span->size), 1);
}

static void fa_apply_sample_std(const fa_step *step, const fa_context *context, const fa_span *span)
{
    const double size = (double)span->size;
    const float mean = (float)(fa_sum(span->values, span->size) / size);
    const double std = sqrt(fa_sum_squares(span->values, span->size, mean) / size);
    (void)step;
    (void)context;
    fa_normalize(span->values, span->size, 0, (float)(1 / (std + 1e-6)));
}

/* ---- normalize: an offset and then a scale for each channel; either may be missing --------------- */

static void fa_apply_normalize(const fa_step *step, const fa_context *context, const fa_span *span)
{
    const ptrdiff_t k = span->channel;
    (void)context;
    if (span->channels == 1)
        fa_normalize(span->values, span->size, step->offset ? step->offset[k] : 0,
                     step->scale ? step->scale[k] : 1);
    else
        fa_normalize_channels(span->values, span->size / span->channels, span->channels,
                              step->offset, step->scale);
}

/* ---- the table ----------------------------------------------------------------------------------- */

enum fa_op_number {
    FA_CHANNEL_SHIFT_OP, FA_BRIGHTNESS_OP, FA_LINEAR_OP, FA_RESCALE_OP, FA_SAMPLE_CENTER_OP,
    FA_SAMPLE_STD_OP, FA_NORMALIZE_OP, FA_OPS
};

static const fa_op fa_ops[FA_OPS] = {
    {"channel_shift", FA_ROW_STAGE, 1, FA_READS_EXTREMA_OF_BYTES, 1, 1, 0, fa_apply_channel_shift,
     fa_map_channel_shift, fa_channel_shift_bytes},
    {"brightness", FA_IMAGE_STAGE, 1, FA_READS_EXTREMA, 0, 0, 1, fa_apply_brightness,
     fa_map_brightness, NULL},
    {"linear", FA_ROW_STAGE, 0, FA_READS_NOTHING, 0, 0, 1, fa_apply_linear, NULL, NULL},
    {"rescale", FA_ROW_STAGE, 0, FA_READS_NOTHING, 0, 0, 0, fa_apply_rescale, NULL, NULL},
    {"sample_center", FA_IMAGE_STAGE, 0, FA_READS_NOTHING, 0, 0, 0, fa_apply_sample_center, NULL,
     NULL},
    {"sample_std", FA_IMAGE_STAGE, 0, FA_READS_NOTHING, 0, 0, 0, fa_apply_sample_std, NULL, NULL},
    {"normalize", FA_ROW_STAGE, 0, FA_READS_NOTHING, 0, 0, 0, fa_apply_normalize, NULL, NULL},
};

/* Does the steps [first, last) to values. A rescale that follows an op which takes its factor is done
 * with that: the same two operations, without another way through memory. */
static void fa_apply_steps(const fa_program *program, ptrdiff_t first, ptrdiff_t last,
                           fa_context *context, const fa_span *span)
{
    ptrdiff_t k, next;
    for (k = fa_next_on(program, context->row, first, last); k < last; k = next) {
        const fa_step *step = &program->steps[k];
        next = fa_next_on(program, context->row, k + 1, last);
        context->factor = 1;
        if (step->op->takes_factor && next < last
            && program->steps[next].op == &fa_ops[FA_RESCALE_OP]) {
            context->factor = program->steps[next].factor;
            next = fa_next_on(program, context->row, next + 1, last);
        }
        step->op->apply(step, context, span);
    }
}

/* Does the steps [from, stop) to the bytes of an image: by one table, but where one op alone is faster.
 * An op that reads extrema, after others, needs the bytes themselves. */
static void fa_finish_bytes(const fa_program *program, fa_context *context, ptrdiff_t from,
                            ptrdiff_t stop, uint8_t *x)
{
    const ptrdiff_t size = fa_form_size(&program->form);
    const int has_alpha = program->form.channels == 4;
    uint8_t tables[2][256];
    ptrdiff_t k = fa_next_on(program, context->row, from, stop), next;
    while (k < stop) {
        const fa_step *step = &program->steps[k];
        int v, alpha;
        if (step->op->reads == FA_READS_EXTREMA_OF_BYTES) {
            uint8_t low, high;
            fa_extrema_of_bytes(x, size, &low, &high);
            context->low = low;
            context->high = high;
        }
        next = fa_next_on(program, context->row, k + 1, stop);
        if (step->op->apply_bytes
            && (next == stop || program->steps[next].op->reads == FA_READS_EXTREMA_OF_BYTES)) {
            step->op->apply_bytes(step, context, x, size);
            k = next;
            continue;
        }
        for (v = 0; v < 256; v++) tables[0][v] = tables[1][v] = (uint8_t)v;
        do {
            for (alpha = 0; alpha <= has_alpha; alpha++)
                step->op->map_uint8(step, context, alpha, tables[alpha]);
            k = next;
            step = &program->steps[k];
            next = k < stop ? fa_next_on(program, context->row, k + 1, stop) : stop;
        } while (k < stop && step->op->reads != FA_READS_EXTREMA_OF_BYTES);
        fa_look_up(x, size, tables[0], has_alpha ? tables[1] : NULL);
    }
}

#endif
