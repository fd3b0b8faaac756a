/* Two images of a batch made one: blended, or a box of one put into the other. */
#ifndef FASTAUG_MIX_H
#define FASTAUG_MIX_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "platform.h"

/* Columns of a mix: the part of the image itself, and the box that comes from the other: rows [top,
 * bottom), columns [left, right). NaN in the top: the images are blended. */
enum fa_mix_column { FA_MIX_PART, FA_MIX_TOP, FA_MIX_LEFT, FA_MIX_BOTTOM, FA_MIX_RIGHT, FA_MIX_COLUMNS };

/* x = part * x + (1 - part) * other, rounded. */
FA_CLONES static void fa_blend_bytes(uint8_t *FA_RESTRICT x, const uint8_t *FA_RESTRICT other,
                                     ptrdiff_t size, float part)
{
    ptrdiff_t i;
    for (i = 0; i < size; i++)
        x[i] = (uint8_t)(int)((float)other[i] + part * ((float)x[i] - (float)other[i]) + 0.5f);
}

FA_CLONES static void fa_blend_floats(float *FA_RESTRICT x, const float *FA_RESTRICT other,
                                      ptrdiff_t size, float part)
{
    ptrdiff_t i;
    for (i = 0; i < size; i++) x[i] = part * x[i] + (1 - part) * other[i];
}

/* Mixes an image with another.
 *
 * shape: Planes of the image, rows of each, and bytes of a row and of a pixel of it.
 * is_bytes: Whether values are uint8; else float32.
 * p: The columns of the mix. */
static void fa_mix(char *image, const char *other, const ptrdiff_t *shape, int is_bytes, const double *p)
{
    const ptrdiff_t planes = shape[0], rows = shape[1], row = shape[2], pixel = shape[3];
    ptrdiff_t plane, i;
    if (isnan(p[FA_MIX_TOP])) {
        const ptrdiff_t bytes = planes * rows * row;
        if (is_bytes)
            fa_blend_bytes((uint8_t *)image, (const uint8_t *)other, bytes, (float)p[FA_MIX_PART]);
        else
            fa_blend_floats((float *)(void *)image, (const float *)(const void *)other,
                            bytes / (ptrdiff_t)sizeof(float), (float)p[FA_MIX_PART]);
        return;
    }
    for (plane = 0; plane < planes; plane++)
        for (i = (ptrdiff_t)p[FA_MIX_TOP]; i < (ptrdiff_t)p[FA_MIX_BOTTOM]; i++) {
            const ptrdiff_t at = (plane * rows + i) * row + (ptrdiff_t)p[FA_MIX_LEFT] * pixel;
            const ptrdiff_t width = (ptrdiff_t)p[FA_MIX_RIGHT] - (ptrdiff_t)p[FA_MIX_LEFT];
            memcpy(image + at, other + at, (size_t)(width * pixel));
        }
}

#endif
