/* Where samples of an image lie, for a stretch of an output row. */
#ifndef FASTAUG_SAMPLES_H
#define FASTAUG_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#include "platform.h"

/* What is sampled, and how. */
typedef struct {
    ptrdiff_t height, width, channels;
    ptrdiff_t row;            /* values from a row to the next */
    int order;                /* of interpolation, 0 to 5 */
    int border;               /* enum fa_border */
    float cval;
} fa_sampling;

#define FA_CHUNK 320
#define FA_BLOCK 16 /* of which there is a whole number in a chunk */
#define FA_WORTH_SPLITTING 64 /* samples inside the image, in a row of which others are brought there */

/* Pixels to read for at most a chunk of an output row. Where they are located in blocks, up to a block
 * of them too many is written: after those that count or, flipped left to right, before them; so the
 * memory that the pointers point into has a block before it. */
typedef struct {
    int32_t *offset;          /* of the upper left of 2 x 2 pixels, or of the nearest one */
    float *row_weight;        /* of the lower row, 0 to 1 */
    float *column_weight;     /* of the right column, 0 to 1 */
    ptrdiff_t below, right;   /* values from a pixel to the one below, to its right */
    ptrdiff_t furthest;       /* largest of the offsets */
    ptrdiff_t size;           /* values that may be read: the image, and the padding after it */
} fa_samples;

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

/* m: the matrix, as in fa_matrix. */
FA_INLINE void fa_set_axes(fa_axes *axes, const fa_sampling *from, const double *m)
{
    fa_set_axis(axes, 0, m[1], from->height);
    fa_set_axis(axes, 1, m[4], from->width);
}

#endif
