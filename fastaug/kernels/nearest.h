/* The warp of masks: each pixel is the nearest one of the source, whatever its bytes mean.
 *
 * A pixel outside the source, its centre more than half a pixel away, is the fill. */
#ifndef FASTAUG_NEAREST_H
#define FASTAUG_NEAREST_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "affine.h"
#include "border.h"
#include "image.h"
#include "platform.h"

#define FA_NEAREST_BLOCK 64      /* pixels, at most, that are located in integers from where the first lies */
#define FA_NEAREST_BITS 24       /* of these, after the point; before it a sign and 7 */
#define FA_NEAREST_REACH 126.0   /* pixels of the source from the first of a block to the last, at most */
#define FA_NEAREST_ROW (1 << 24) /* bytes of a row of the source, at most, to reach as many rows */
#define FA_NEAREST_UNROLLED 8    /* pixels that are copied without a jump in between */
#define FA_NEAREST_FETCHED (1 << 20) /* bytes of an image, at most, that are fetched beforehand */

/* How an image is picked. */
typedef struct {
    const fa_image *image;
    double step[2];                       /* in row and column, from a pixel of the result to the next */
    ptrdiff_t block;                      /* pixels of a block */
    uint32_t along[2][FA_NEAREST_BLOCK];  /* from the first of a block to each, in integers */
} fa_nearest;

static void fa_set_nearest(fa_nearest *nearest, const fa_image *image, double row_step,
                           double column_step)
{
    const double steepest = fabs(row_step) + fabs(column_step);
    ptrdiff_t k;
    nearest->image = image;
    nearest->step[0] = row_step;
    nearest->step[1] = column_step;
    if (!(steepest <= FA_NEAREST_REACH) || image->row > FA_NEAREST_ROW) nearest->block = 1;
    else if (steepest * FA_NEAREST_BLOCK <= FA_NEAREST_REACH) nearest->block = FA_NEAREST_BLOCK;
    else nearest->block = (ptrdiff_t)(FA_NEAREST_REACH / steepest);
    memset(nearest->along, 0, sizeof nearest->along);
    for (k = 1; k < nearest->block; k++) {
        nearest->along[0][k] = (uint32_t)(int32_t)(row_step * (double)k * (1 << FA_NEAREST_BITS));
        nearest->along[1][k] = (uint32_t)(int32_t)(column_step * (double)k * (1 << FA_NEAREST_BITS));
    }
}

/* The pixel of the source that a pixel of a block is nearest to, from that of the first one.
 *
 * start: Where the first lies in its pixel. */
FA_INLINE int32_t fa_nearest_at(uint32_t start, uint32_t along)
{
    return (int32_t)(start + along) >> FA_NEAREST_BITS;
}

/* Whether all pixels of a block are inside: rounding may take one at the edge over it.
 *
 * last: The last one. low, high: The first and the last pixel of the source. */
FA_INLINE int fa_block_is_inside(int32_t last, int32_t low, int32_t high)
{
    return high >= 0 && last >= low && last <= high;
}

FA_INLINE int32_t fa_nearest_inside(int32_t at, int32_t low, int32_t high)
{
    return at < low ? low : at > high ? high : at;
}

/* Picks pixels of a row of the result that lie in the source.
 *
 * first: Row and column of the first, from the edge of the source. */
FA_INLINE void fa_pick_line(const fa_nearest *nearest, const double *first, ptrdiff_t count,
                            const ptrdiff_t pixel, uint8_t *FA_RESTRICT out)
{
    const fa_image *image = nearest->image;
    const int32_t row_bytes = (int32_t)image->row, pixel_bytes = (int32_t)pixel;
    int32_t offsets[FA_NEAREST_BLOCK];
    ptrdiff_t i, j, k;
    for (j = 0; j < count; j += nearest->block, out += nearest->block * pixel) {
        const ptrdiff_t stop = count - j < nearest->block ? count - j : nearest->block;
        const double r = first[0] + nearest->step[0] * (double)j;
        const double c = first[1] + nearest->step[1] * (double)j;
        const int32_t row = (int32_t)r, column = (int32_t)c;
        const uint32_t r_start = (uint32_t)(int32_t)((r - row) * (1 << FA_NEAREST_BITS));
        const uint32_t c_start = (uint32_t)(int32_t)((c - column) * (1 << FA_NEAREST_BITS));
        const int32_t r_high = (int32_t)image->height - 1 - row;
        const int32_t c_high = (int32_t)image->width - 1 - column;
        const uint8_t *source = (const uint8_t *)image->data + row * image->row + column * pixel;
        const uint32_t *r_along = nearest->along[0], *c_along = nearest->along[1];
        if (fa_block_is_inside(fa_nearest_at(r_start, r_along[stop - 1]), -row, r_high)
            && fa_block_is_inside(fa_nearest_at(c_start, c_along[stop - 1]), -column, c_high))
            for (k = 0; k < FA_NEAREST_BLOCK; k++)
                offsets[k] = fa_nearest_at(r_start, r_along[k]) * row_bytes
                    + fa_nearest_at(c_start, c_along[k]) * pixel_bytes;
        else
            for (k = 0; k < FA_NEAREST_BLOCK; k++)
                offsets[k] =
                    fa_nearest_inside(fa_nearest_at(r_start, r_along[k]), -row, r_high) * row_bytes
                    + fa_nearest_inside(fa_nearest_at(c_start, c_along[k]), -column, c_high)
                        * pixel_bytes;
        for (k = 0; k + FA_NEAREST_UNROLLED <= stop; k += FA_NEAREST_UNROLLED)
            for (i = 0; i < FA_NEAREST_UNROLLED; i++)
                memcpy(out + (k + i) * pixel, source + offsets[k + i], (size_t)pixel);
        for (; k < stop; k++) memcpy(out + k * pixel, source + offsets[k], (size_t)pixel);
    }
}

/* The same for any pixel; a size that is known beforehand makes it fast. */
FA_CLONES static void fa_pick_nearest(const fa_nearest *nearest, const double *first,
                                      ptrdiff_t count, ptrdiff_t pixel, uint8_t *FA_RESTRICT out)
{
    if (pixel == 1) fa_pick_line(nearest, first, count, 1, out);
    else if (pixel == 2) fa_pick_line(nearest, first, count, 2, out);
    else if (pixel == 4) fa_pick_line(nearest, first, count, 4, out);
    else if (pixel == 8) fa_pick_line(nearest, first, count, 8, out);
    else fa_pick_line(nearest, first, count, pixel, out);
}

static void fa_fill_pixels(const uint8_t *fill, ptrdiff_t pixel, ptrdiff_t count, uint8_t *out)
{
    const ptrdiff_t bytes = count * pixel;
    ptrdiff_t done;
    if (!count) return;
    memcpy(out, fill, (size_t)pixel);
    for (done = pixel; done < bytes; done *= 2)
        memcpy(out + done, out, (size_t)(done < bytes - done ? done : bytes - done));
}

FA_INLINE void fa_mirror_line(const uint8_t *FA_RESTRICT source, ptrdiff_t count,
                              const ptrdiff_t pixel, uint8_t *FA_RESTRICT out)
{
    ptrdiff_t k;
    for (k = 0; k < count; k++)
        memcpy(out + k * pixel, source + (count - 1 - k) * pixel, (size_t)pixel);
}

/* Copies a row from right to left; a size that is known beforehand makes it fast. */
FA_CLONES static void fa_mirror_pixels(const uint8_t *FA_RESTRICT source, ptrdiff_t count,
                                       ptrdiff_t pixel, uint8_t *FA_RESTRICT out)
{
    if (pixel == 1) fa_mirror_line(source, count, 1, out);
    else if (pixel == 2) fa_mirror_line(source, count, 2, out);
    else if (pixel == 4) fa_mirror_line(source, count, 4, out);
    else if (pixel == 8) fa_mirror_line(source, count, 8, out);
    else fa_mirror_line(source, count, pixel, out);
}

/* Warps an image of bytes, of which a pixel has as many as the form has channels.
 *
 * row: Its row of the parameter table, for the flips.
 * m: The matrix, as in fa_matrix, or NULL for none.
 * fill: The pixel outside.
 * out: The result. */
static void fa_warp_nearest(const fa_form *form, const fa_image *image, const double *row,
                            const double *m, const uint8_t *fill, uint8_t *out)
{
    const ptrdiff_t height = form->height, width = form->width, pixel = form->channels;
    const int flip_h = row[FA_FLIP_HORIZONTAL] != 0, flip_v = row[FA_FLIP_VERTICAL] != 0;
    const double last_row = nextafter((double)image->height, 0);
    const double last_column = nextafter((double)image->width, 0);
    fa_nearest nearest;
    ptrdiff_t i;
    if (m) {
        fa_set_nearest(&nearest, image, flip_h ? -m[1] : m[1], flip_h ? -m[4] : m[4]);
        if (fa_image_extent(image, form) <= FA_NEAREST_FETCHED)
            fa_fetch(image->data, (size_t)fa_image_extent(image, form));
    }
    for (i = 0; i < height; i++) {
        uint8_t *line = out + (flip_v ? height - 1 - i : i) * width * pixel;
        if (m) {
            /* from the edge, half a pixel before the first centre */
            const double r = m[2] + m[0] * (double)i + 0.5, c = m[5] + m[3] * (double)i + 0.5;
            ptrdiff_t begin = 0, end = width, leftmost, left, right;
            double first[2];
            fa_inside(r, m[1], last_row, &begin, &end);
            fa_inside(c, m[4], last_column, &begin, &end);
            leftmost = flip_h ? end - 1 : begin;
            first[0] = r + m[1] * (double)leftmost;
            first[1] = c + m[4] * (double)leftmost;
            left = flip_h ? width - end : begin;
            right = flip_h ? begin : width - end;
            fa_pick_nearest(&nearest, first, end - begin, pixel, line + left * pixel);
            fa_fill_pixels(fill, pixel, left, line);
            fa_fill_pixels(fill, pixel, right, line + (width - right) * pixel);
        } else {
            const uint8_t *source = (const uint8_t *)image->data + i * image->row;
            if (flip_h) fa_mirror_pixels(source, width, pixel, line);
            else memcpy(line, source, (size_t)(width * pixel));
        }
    }
}

#endif
