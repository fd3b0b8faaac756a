/* An image between ops: pixels of bytes or floats, and what ops have to know of it. */
#ifndef FASTAUG_CANVAS_H
#define FASTAUG_CANVAS_H

#include <stddef.h>
#include <stdint.h>

#include "platform.h"

#define FA_CANVAS_CHANNELS 4  /* channels that an op may tell apart, at most */
#define FA_CANVAS_LINES 64    /* rows of floats that fit into the memory beside an image of floats */

/* The channels of a pixel are next to each other, and so are pixels and rows. */
typedef struct {
    void *data;               /* the image: uint8, or float32 on the same scale of 0..255 */
    void *other;              /* memory for another one */
    float *memory;            /* for one of floats, and FA_CANVAS_LINES more rows */
    ptrdiff_t height, width, channels;
    int is_bytes;
} fa_canvas;

/* What the bytes of an image are, for ops that depend on it. */
typedef struct {
    uint32_t histogram[FA_CANVAS_CHANNELS][256];
    uint8_t low[FA_CANVAS_CHANNELS], high[FA_CANVAS_CHANNELS]; /* the least and the greatest value */
    double grey_mean;         /* of the pixels in grey, each without its fraction */
} fa_statistics;

FA_INLINE ptrdiff_t fa_canvas_size(const fa_canvas *canvas)
{
    return canvas->height * canvas->width * canvas->channels;
}

/* The whole part of a number, brought into [0, most]; 0 for NaN. */
FA_INLINE ptrdiff_t fa_within(double v, ptrdiff_t most)
{
    return v > 0 ? v < (double)most ? (ptrdiff_t)v : most : 0;
}

/* An op that has written `other` makes it the image. */
FA_INLINE void fa_swap_buffers(fa_canvas *canvas)
{
    void *data = canvas->data;
    canvas->data = canvas->other;
    canvas->other = data;
}

#endif
