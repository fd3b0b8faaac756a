/* Ops on the values of bytes: what becomes of each value, in a table for each channel.
 *
 * Formulas, ranges and rounding are those of torchvision.transforms.v2.functional for uint8 images. */
#ifndef FASTAUG_COLOUR_H
#define FASTAUG_COLOUR_H

#include <stddef.h>
#include <stdint.h>

#include "canvas.h"

/* p: bits. Keeps the highest bits of each value. */
static void fa_map_posterize(const double *p, const fa_statistics *statistics, ptrdiff_t channel,
                             uint8_t *table)
{
    const uint8_t mask = (uint8_t)(0xFF00 >> (int)p[0]);
    int k;
    (void)statistics;
    (void)channel;
    for (k = 0; k < 256; k++) table[k] &= mask;
}

/* p: threshold. Inverts the values from it on. */
static void fa_map_solarize(const double *p, const fa_statistics *statistics, ptrdiff_t channel,
                            uint8_t *table)
{
    int k;
    (void)statistics;
    (void)channel;
    for (k = 0; k < 256; k++)
        if (table[k] >= p[0]) table[k] = (uint8_t)(255 - table[k]);
}

#endif
