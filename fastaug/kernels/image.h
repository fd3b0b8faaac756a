/* What an image is before it is worked on, and what it becomes. */
#ifndef FASTAUG_IMAGE_H
#define FASTAUG_IMAGE_H

#include <stddef.h>

/* Types of values. */
enum fa_type {
    FA_NO_TYPE, FA_UINT8, FA_INT8, FA_UINT16, FA_INT16, FA_UINT32, FA_INT32, FA_UINT64, FA_INT64,
    FA_FLOAT16, FA_FLOAT64, FA_FLOAT32
};

/* A source: (height, width, channels), or the channels as planes one after the other, as the form has
 * them. Of its own size. */
typedef struct {
    const void *data;
    ptrdiff_t height, width;
    ptrdiff_t row;            /* values from a row to the next */
    ptrdiff_t padding;        /* values that may be read after the last row */
    int type;                 /* enum fa_type */
} fa_image;

/* What every image of a batch becomes. */
typedef struct {
    ptrdiff_t height, width, channels;
    int channels_first;       /* layout of source and output */
    int is_bytes;             /* uint8; else float32 */
    int truncates;            /* bytes are made after all steps, without rounding; else before them */
} fa_form;

/* Values of an image of a form. */
static ptrdiff_t fa_form_size(const fa_form *form)
{
    return form->height * form->width * form->channels;
}

/* Values of a source. */
static ptrdiff_t fa_image_size(const fa_image *image, const fa_form *form)
{
    return image->height * image->width * form->channels;
}

/* Values from the first of a source to its end, those between its rows included. */
static ptrdiff_t fa_image_extent(const fa_image *image, const fa_form *form)
{
    return form->channels_first
        ? (form->channels * image->height - 1) * image->row + image->width
        : (image->height - 1) * image->row + image->width * form->channels;
}

#endif
