/* The images of a batch, one after the other: plain C, no Python, no allocation. */
#ifndef FASTAUG_RUN_H
#define FASTAUG_RUN_H

#include <stddef.h>
#include <stdint.h>

#include "affine.h"
#include "augment.h"
#include "convert.h"
#include "image.h"
#include "process.h"
#include "program.h"
#include "samples.h"

/* ---- a batch -------------------------------------------------------------------------------------- */

/* Which images, what becomes of each, and where it goes. */
typedef struct {
    const fa_program *program;
    fa_image image;           /* the first image; the others are alike, */
    ptrdiff_t stride, count;  /* bytes from one to the next, and how many there are; */
    const fa_image *sources;  /* or all of them, each by itself; else NULL */
    ptrdiff_t largest;        /* of the values of a source */
    ptrdiff_t work;           /* of fa_process_values of all sources */
    const int64_t *index;     /* of the image at each position of the batch */
    const double *table;      /* a row of parameters for each position */
    const double *matrices;   /* 2 x 3 for each position, or NULL: those of the parameters */
    ptrdiff_t size;           /* positions */
    int standardize;
    void **outs;              /* where the results go, `out_size` of them one after the other in each */
    ptrdiff_t out_size;
} fa_batch;

/* Bytes of a value of a type. */
static ptrdiff_t fa_type_size(int type)
{
    switch (type) {
    case FA_UINT8: case FA_INT8: return 1;
    case FA_UINT16: case FA_INT16: case FA_FLOAT16: return 2;
    case FA_UINT32: case FA_INT32: case FA_FLOAT32: return 4;
    default: return 8;
    }
}

/* Whether a source is read as it is; else it is made float32 first. */
FA_INLINE int fa_is_read(int type)
{
    return type == FA_UINT8 || type == FA_FLOAT32;
}

/* One of the sources. */
FA_INLINE fa_image fa_source(const fa_batch *batch, ptrdiff_t k)
{
    fa_image image;
    if (batch->sources) return batch->sources[k];
    image = batch->image;
    image.data = (const char *)image.data + k * batch->stride;
    if (k + 1 == batch->count) image.padding = 0;
    return image;
}

/* Sets what a batch has to know of all its sources. */
static void fa_measure_sources(fa_batch *batch)
{
    const fa_form *form = &batch->program->form;
    ptrdiff_t k;
    batch->largest = batch->work = 0;
    /* those that are alike: the next follows in the same memory, if they do not overlap */
    batch->image.padding = 0;
    if (!batch->sources && fa_is_read(batch->image.type)) {
        const ptrdiff_t extent = fa_image_extent(&batch->image, form);
        if (batch->stride >= extent * fa_type_size(batch->image.type)) batch->image.padding = extent;
    }
    for (k = 0; k < (batch->sources ? batch->count : 1); k++) {
        const fa_image *image = batch->sources ? &batch->sources[k] : &batch->image;
        const ptrdiff_t work = batch->program->augment
            ? fa_augmented_values(batch->program, image) : fa_process_values(batch->program, image);
        const ptrdiff_t size = fa_is_read(image->type) ? 0 : fa_image_size(image, form);
        if (work > batch->work) batch->work = work;
        if (size > batch->largest) batch->largest = size;
    }
}

/* Values of the memory that a batch is worked on in. */
static ptrdiff_t fa_work_values(const fa_batch *batch)
{
    return batch->work + (batch->largest ? batch->largest + FA_BLOCK : 0);
}

/* Whether an image is standardized at most, by what fa_standardize knows. */
FA_INLINE int fa_stays(const fa_program *program, const fa_image *image, const double *row)
{
    const fa_form *form = &program->form;
    return !program->augment && !fa_has_geometry(row) && row[FA_FLIP_HORIZONTAL] == 0 && row[FA_FLIP_VERTICAL] == 0
        && image->height == form->height && image->width == form->width
        && fa_next_on(program, row, 0, program->after_function) == program->after_function;
}

/* Bytes from a result to the next. */
FA_INLINE ptrdiff_t fa_result_bytes(const fa_form *form)
{
    return fa_form_size(form) * (ptrdiff_t)(form->is_bytes ? 1 : sizeof(float));
}

/* Where the result at a position goes. */
FA_INLINE char *fa_out_of(const fa_batch *batch, ptrdiff_t position)
{
    return (char *)batch->outs[position / batch->out_size]
        + position % batch->out_size * fa_result_bytes(&batch->program->form);
}

/* Makes a source of another type one of float32, whose rows lie one after the other. */
static fa_image fa_as_floats(const fa_form *form, const fa_image *image, float *values)
{
    const ptrdiff_t row = image->width * (form->channels_first ? 1 : form->channels);
    const ptrdiff_t rows = image->height * (form->channels_first ? form->channels : 1);
    const ptrdiff_t bytes = fa_type_size(image->type);
    fa_image floats = *image;
    ptrdiff_t i;
    if (row == image->row)
        fa_to_floats(image->type, image->data, rows * row, values);
    else
        for (i = 0; i < rows; i++)
            fa_to_floats(image->type, (const char *)image->data + i * image->row * bytes, row,
                         values + i * row);
    floats.data = values;
    floats.row = row;
    floats.padding = FA_BLOCK;
    floats.type = FA_FLOAT32;
    return floats;
}

/* Works on the positions [start, stop) of a batch.
 *
 * threads: How many may work on it, each on as many positions; 0: images beyond these may not be
 *     there yet.
 * work: Memory, fa_work_values. */
static void fa_run(const fa_batch *batch, ptrdiff_t start, ptrdiff_t stop, ptrdiff_t threads,
                   float *work)
{
    const fa_program *program = batch->program;
    ptrdiff_t i;
    for (i = start; i < stop; i++) {
        fa_image image = fa_source(batch, (ptrdiff_t)batch->index[i]);
        const double *row = batch->table + i * program->columns;
        const ptrdiff_t after = i + 1 < stop ? i + 1 : stop + (threads - 1) * (stop - start);
        uintptr_t next = 0;
        double matrix[6];
        const double *m = matrix;
        char *out = fa_out_of(batch, i);
        if (batch->matrices) m = batch->matrices + i * 6;
        else fa_matrix(row, program->form.height, program->form.width, matrix);
        if (!fa_is_read(image.type)) {
            float *values = work + batch->work;
            const int stays = !program->form.is_bytes && fa_stays(program, &image, row);
            if (stays) values = (float *)(void *)out;
            image = fa_as_floats(&program->form, &image, values);
            if (stays) {
                if (batch->standardize) fa_standardize(program, values);
                continue;
            }
        } else if (after < (threads ? batch->size : stop)) {
            next = (uintptr_t)fa_source(batch, (ptrdiff_t)batch->index[after]).data;
        }
        if (program->augment)
            fa_process_augmented(program, &image, next, row, m, batch->standardize, work, out);
        else
            fa_process(program, &image, next, row, m, batch->standardize, work, out);
    }
}

#endif
