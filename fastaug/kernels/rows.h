/* Rows of an image on their way from the sampler: steps are done to them while they are in the cache. */
#ifndef FASTAUG_ROWS_H
#define FASTAUG_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "ops.h"
#include "platform.h"
#include "program.h"
#include "values.h"

typedef struct {
    const fa_program *program;
    fa_context *context;
    ptrdiff_t first, last;     /* the steps that are done to the rows */
    fa_extrema *extrema;       /* what they are then taken into account for, or NULL */
    ptrdiff_t waiting;         /* rows that are done and have not been handed on */
    uint8_t *bytes;            /* the image that becomes of the rows, or NULL: they are where they */
    float *lines;              /* belong; else memory for as many as may wait */
    uintptr_t next;            /* where the image lies that comes after this one, or 0 */
    ptrdiff_t next_row;        /* bytes in a row of it */
} fa_rows;

#define FA_ROWS_VALUES 1024  /* values that are worth a pass of their own */

/* Rows that may have to wait. */
FA_INLINE ptrdiff_t fa_waiting_rows(const fa_form *form)
{
    const ptrdiff_t row_size = form->width * form->channels;
    const ptrdiff_t rows = (FA_ROWS_VALUES + row_size - 1) / row_size;
    return rows < form->height ? rows : form->height;
}

/* Where an output row is to be written.
 *
 * row: Its number, in the order of work.
 * flip_vertical: Whether the first is the last of the image.
 * out: The image, unless bytes become of it. */
FA_INLINE float *fa_row_line(const fa_rows *rows, ptrdiff_t row, int flip_vertical, float *out)
{
    const fa_form *form = &rows->program->form;
    const ptrdiff_t row_size = form->width * form->channels;
    if (!rows->bytes) return out + (flip_vertical ? form->height - 1 - row : row) * row_size;
    return rows->lines
        + (flip_vertical ? fa_waiting_rows(form) - 1 - rows->waiting : rows->waiting) * row_size;
}

/* Called after each output row; the arguments are those of fa_row_line. */
static void fa_row_done(fa_rows *rows, ptrdiff_t row, int flip_vertical, float *out)
{
    const fa_form *form = &rows->program->form;
    const ptrdiff_t row_size = form->width * form->channels;
    ptrdiff_t first;
    fa_span span;
    if (rows->next) { /* as many rows of it are in the cache as are done of this one */
        const uintptr_t end = rows->next + (uintptr_t)rows->next_row;
        for (; rows->next < end; rows->next += FA_LINE) fa_fetch_line(rows->next);
        rows->next = end;
    }
    if (!rows->extrema && rows->first == rows->last && !rows->bytes) return;
    span.size = ++rows->waiting * row_size;
    if (span.size < FA_ROWS_VALUES && row + 1 < form->height) return;
    first = flip_vertical ? form->height - 1 - row : row + 1 - rows->waiting;
    span.values = out + first * row_size;
    span.channels = form->channels;
    span.channel = 0;
    if (rows->bytes)
        span.values = rows->lines
            + (flip_vertical ? fa_waiting_rows(form) - rows->waiting : 0) * row_size;
    rows->waiting = 0;
    fa_apply_steps(rows->program, rows->first, rows->last, rows->context, &span);
    if (rows->extrema) fa_add_extrema(span.values, span.size, rows->extrema);
    if (rows->bytes)
        fa_store_bytes(span.values, span.size, form->truncates ? 0 : 0.5f,
                       rows->bytes + first * row_size);
}

#endif
