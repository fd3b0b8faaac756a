/* The numbers of a parameter table, drawn from a stream as NumPy's RandomState draws them.
 *
 * A stream is a bit generator of NumPy, by its own interface. An MT19937 can also be made here, in memory
 * of its own, and seeded as RandomState.seed does it.
 */
#ifndef FASTAUG_DRAWS_H
#define FASTAUG_DRAWS_H

#include <stddef.h>
#include <stdint.h>

#include "numpy/random/bitgen.h"

#include "affine.h"

#define FA_WORDS 624

/* What bitgen_t.state points to where the generator is an MT19937. */
typedef struct {
    uint32_t key[FA_WORDS];
    int position;
} fa_mt19937;

/* How the numbers of one image are drawn, in this order. */
typedef struct {
    ptrdiff_t count;
    ptrdiff_t column[FA_COLUMNS];          /* that a number is for */
    double low[FA_COLUMNS], spread[FA_COLUMNS];
    uint64_t choices[FA_COLUMNS];          /* how many there are to choose from, or 0: uniform */
    const double *chosen[FA_COLUMNS];      /* what they are, or NULL: 0 and on */
    double flips[2];                       /* what a flip that happens is in its column */
    double scale[FA_COLUMNS], base[FA_COLUMNS]; /* for each column: a factor, and what it is undrawn */
} fa_draws;

/* Knuth's generator, as init_genrand of the Mersenne Twister has it. */
static void fa_seed(fa_mt19937 *state, uint32_t seed)
{
    uint32_t i;
    for (i = 0; i < FA_WORDS; i++) {
        state->key[i] = seed;
        seed = UINT32_C(1812433253) * (seed ^ (seed >> 30)) + i + 1;
    }
    state->position = FA_WORDS;
}

/* A whole number below another, as RandomState.choice draws it: masked, until it fits. */
static uint64_t fa_below(bitgen_t *bits, uint64_t count)
{
    const uint64_t most = count - 1;
    uint64_t value, mask = most;
    int shift;
    if (most == 0) return 0;
    for (shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
    do {
        value = most <= UINT32_MAX ? bits->next_uint32(bits->state) : bits->next_uint64(bits->state);
        value &= mask;
    } while (value > most);
    return value;
}

/* One of several, and then a sign for it. */
static double fa_choose(const fa_draws *draws, ptrdiff_t k, bitgen_t *bits)
{
    const uint64_t index = fa_below(bits, draws->choices[k]);
    const double value = draws->chosen[k] ? draws->chosen[k][index] : (double)index;
    return fa_below(bits, 2) ? value : -value;
}

/* The parameters of an image, from the numbers that were drawn for it. */
static void fa_fill_row(const fa_draws *draws, const double *values, double *row)
{
    ptrdiff_t k;
    for (k = 0; k < FA_COLUMNS; k++) row[k] = draws->base[k];
    for (k = 0; k < draws->count; k++) {
        const ptrdiff_t column = draws->column[k];
        double value = draws->low[k] + draws->spread[k] * values[k];
        if (column == FA_FLIP_HORIZONTAL || column == FA_FLIP_VERTICAL)
            value = value < 0.5 ? draws->flips[column - FA_FLIP_HORIZONTAL] : 0;
        row[column] = value * draws->scale[column];
    }
}

static void fa_draw_rows(const fa_draws *draws, bitgen_t *bits, ptrdiff_t images, double *table)
{
    double values[FA_COLUMNS];
    ptrdiff_t i, k;
    for (i = 0; i < images; i++) {
        for (k = 0; k < draws->count; k++)
            values[k] = draws->choices[k] ? fa_choose(draws, k, bits)
                                          : bits->next_double(bits->state);
        fa_fill_row(draws, values, table + i * FA_COLUMNS);
    }
}

#endif
