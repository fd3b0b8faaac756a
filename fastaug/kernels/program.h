/* What is done to the images of a batch, as data: where samples are taken, and steps on their values.
 *
 * A step is an op, its constants and the number of its first column in the parameter table, which has a
 * row for each image. NaN in that column: the step is off for this image.
 *
 * An op of the stage `row` maps values wherever they lie: it gets them in spans of some thousand, while
 * they are in the cache. One of the stage `image` gets a whole image, and so ends a pass. So does one that
 * reads the extrema of what came before it.
 */
#ifndef FASTAUG_PROGRAM_H
#define FASTAUG_PROGRAM_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "image.h"

enum fa_stage { FA_ROW_STAGE, FA_IMAGE_STAGE };

/* Which extrema an op reads: none, those of floats, or those of bytes too. */
enum fa_reads { FA_READS_NOTHING, FA_READS_EXTREMA, FA_READS_EXTREMA_OF_BYTES };

typedef struct fa_step fa_step;

/* Values next to each other: whole pixels of some channels, or of the one channel of a plane. */
typedef struct {
    float *values;
    ptrdiff_t size;
    ptrdiff_t channels;       /* 1 in a plane */
    ptrdiff_t channel;        /* of the first value */
} fa_span;

/* What a step knows of its image. */
typedef struct {
    const double *row;        /* of the table */
    float low, high;          /* extrema of the values before the step, if its op reads them */
    float factor;             /* of a rescale that it does on its way */
} fa_context;

typedef struct {
    const char *name;
    int stage;                /* enum fa_stage */
    int columns;              /* of the table */
    int reads;                /* enum fa_reads */
    int is_monotone;          /* extrema of the result are what becomes of those before */
    int takes_factor;         /* it does a rescale that follows on its way */
    int needs_pixels;         /* it cannot be done to planes */
    void (*apply)(const fa_step *step, const fa_context *context, const fa_span *span);
    /* what becomes of each uint8 value, of colours or of alpha; NULL: it needs floats */
    void (*map_uint8)(const fa_step *step, const fa_context *context, int is_alpha, uint8_t *table);
    /* the same of many bytes, where that is faster than a table, or NULL */
    void (*apply_bytes)(const fa_step *step, const fa_context *context, uint8_t *x, ptrdiff_t size);
} fa_op;

struct fa_step {
    const fa_op *op;
    ptrdiff_t column;         /* its first in the table */
    float factor;
    int reverses_channels;
    const float *scale;       /* a value for each channel, or NULL */
    const float *offset;      /* likewise */
};

/* Where samples are taken. */
typedef struct {
    int order;                /* of interpolation, 0 to 5 */
    int border;               /* enum fa_border */
    float cval;
    const uint8_t *fill;      /* a pixel: each of the result is the nearest one, or this (nearest.h); or NULL */
} fa_sampler;

typedef struct fa_augment fa_augment;

typedef struct {
    fa_form form;
    fa_sampler sampler;
    const fa_augment *augment; /* what is done around these steps, or NULL; see augment.h */
    const fa_step *steps;
    ptrdiff_t count;
    ptrdiff_t standardization; /* the first step of standardization, a function that comes before included */
    ptrdiff_t after_function;  /* the first step after that function */
    ptrdiff_t columns;         /* of the table */
} fa_program;

static int fa_is_on(const fa_step *step, const double *row)
{
    return !step->op->columns || !isnan(row[step->column]);
}

/* The first of the steps [from, stop) that is on for an image; `stop`: none. */
static ptrdiff_t fa_next_on(const fa_program *program, const double *row, ptrdiff_t from,
                            ptrdiff_t stop)
{
    while (from < stop && !fa_is_on(&program->steps[from], row)) from++;
    return from;
}

/* The first of the steps [from, stop) that cannot be done to spans while they are made; `stop`: none. */
static ptrdiff_t fa_end_of_pass(const fa_program *program, const double *row, ptrdiff_t from,
                                ptrdiff_t stop)
{
    for (; from < stop; from++) {
        const fa_step *step = &program->steps[from];
        if ((step->op->stage != FA_ROW_STAGE || step->op->reads) && fa_is_on(step, row)) break;
    }
    return from;
}

#endif
