/* Arrays of NumPy: combined with others, summed, copied, flipped. */
#ifndef FASTAUG_ARRAYS_H
#define FASTAUG_ARRAYS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "convert.h"
#include "platform.h"
#include "values.h"

enum fa_operation { FA_MULTIPLY, FA_SUBTRACT, FA_DIVIDE };

#define FA_SAME(v) (v)

/* Makes each value of an array the result of an operation on it and one of `count` others, of which each
 * is for `inner` values next to each other, `outer` times over. Rounded once, as in NumPy. */
#define FA_COMBINE_BY(load, store, sign) \
    if (count == 1) { \
        const ptrdiff_t size = outer * inner; \
        /* vectors that lie across two lines of the cache take twice as long */ \
        for (; i < size && (uintptr_t)(x + i) % FA_LINE; i++) x[i] = store(load(x[i]) sign values[0]); \
        for (; i < size; i++) x[i] = store(load(x[i]) sign values[0]); \
    } else if (inner == 1) { \
        if (FA_PATTERN % count == 0) { \
            for (k = 0; k < FA_PATTERN; k++) pattern[k] = values[k % count]; \
            for (; i + FA_PATTERN <= outer * count; i += FA_PATTERN) \
                for (k = 0; k < FA_PATTERN; k++) x[i + k] = store(load(x[i + k]) sign pattern[k]); \
        } \
        for (; i < outer * count; i++) x[i] = store(load(x[i]) sign values[i % count]); \
    } else { \
        for (k = 0; k < outer * count; k++) \
            for (i = 0; i < inner; i++) \
                x[k * inner + i] = store(load(x[k * inner + i]) sign values[k % count]); \
    }

#define FA_COMBINE(name, kind, number, load, store) \
    FA_CLONES static void name(kind *FA_RESTRICT x, ptrdiff_t outer, ptrdiff_t count, \
                               ptrdiff_t inner, const number *FA_RESTRICT values, int operation) \
    { \
        number pattern[FA_PATTERN]; \
        ptrdiff_t i = 0, k; \
        if (operation == FA_MULTIPLY) { \
            FA_COMBINE_BY(load, store, *) \
        } else if (operation == FA_SUBTRACT) { \
            FA_COMBINE_BY(load, store, -) \
        } else { \
            FA_COMBINE_BY(load, store, /) \
        } \
    }

FA_COMBINE(fa_combine_floats, float, float, FA_SAME, FA_SAME)
FA_COMBINE(fa_combine_doubles, double, double, FA_SAME, FA_SAME)
FA_COMBINE(fa_combine_halves, uint16_t, float, fa_float_of_half, fa_half_of_float)

#undef FA_COMBINE
#undef FA_COMBINE_BY
#undef FA_SAME

/* fa_sum and fa_sum_squares of doubles. */
FA_CLONES static double fa_sum_doubles(const double *FA_RESTRICT x, ptrdiff_t size)
{
    double lane[FA_LANES] = {0}, total = 0;
    ptrdiff_t i = 0;
    int k;
    for (; i + FA_LANES <= size; i += FA_LANES)
        for (k = 0; k < FA_LANES; k++) lane[k] += x[i + k];
    for (; i < size; i++) total += x[i];
    for (k = 0; k < FA_LANES; k++) total += lane[k];
    return total;
}

FA_CLONES static double fa_sum_square_doubles(const double *FA_RESTRICT x, ptrdiff_t size,
                                              double mean)
{
    double lane[FA_LANES] = {0}, total = 0;
    ptrdiff_t i = 0;
    int k;
    for (; i + FA_LANES <= size; i += FA_LANES)
        for (k = 0; k < FA_LANES; k++) lane[k] += (x[i + k] - mean) * (x[i + k] - mean);
    for (; i < size; i++) total += (x[i] - mean) * (x[i] - mean);
    for (k = 0; k < FA_LANES; k++) total += lane[k];
    return total;
}

/* ---- values of any type, moved ------------------------------------------------------------------- */

FA_INLINE void fa_swap(char *a, char *b, const size_t bytes)
{
    char kept[64];
    memcpy(kept, a, bytes);
    memcpy(a, b, bytes);
    memcpy(b, kept, bytes);
}

/* Turns rows of pixels of some bytes round; a number that is known beforehand makes it fast. */
FA_INLINE void fa_turn_rows(char *image, ptrdiff_t height, ptrdiff_t width, const ptrdiff_t bytes)
{
    ptrdiff_t i, j, k, part;
    for (i = 0; i < height; i++, image += width * bytes)
        for (j = 0, k = width - 1; j < k; j++, k--)
            for (part = 0; part < bytes; part += 64)
                fa_swap(image + j * bytes + part, image + k * bytes + part,
                        (size_t)(bytes - part < 64 ? bytes - part : 64));
}

/* Flips an image in place: height x width pixels of some bytes each. */
static void fa_flip(char *image, ptrdiff_t height, ptrdiff_t width, ptrdiff_t bytes, int horizontal,
                    int vertical)
{
    const ptrdiff_t row = width * bytes;
    ptrdiff_t i, k, part;
    if (horizontal) {
        switch (bytes) {
        case 1: fa_turn_rows(image, height, width, 1); break;
        case 2: fa_turn_rows(image, height, width, 2); break;
        case 3: fa_turn_rows(image, height, width, 3); break;
        case 4: fa_turn_rows(image, height, width, 4); break;
        case 6: fa_turn_rows(image, height, width, 6); break;
        case 8: fa_turn_rows(image, height, width, 8); break;
        case 12: fa_turn_rows(image, height, width, 12); break;
        case 24: fa_turn_rows(image, height, width, 24); break;
        default: fa_turn_rows(image, height, width, bytes);
        }
    }
    if (!vertical) return;
    for (i = 0, k = height - 1; i < k; i++, k--)
        for (part = 0; part < row; part += 64)
            fa_swap(image + i * row + part, image + k * row + part,
                    (size_t)(row - part < 64 ? row - part : 64));
}

/* Copies an array of any strides, of elements of some bytes; see fa_gather. */
FA_INLINE void fa_gather_by(const char *source, const ptrdiff_t *shape, const ptrdiff_t *strides,
                            const ptrdiff_t bytes, char *FA_RESTRICT out)
{
    ptrdiff_t i, j, k;
    for (i = 0; i < shape[0]; i++)
        for (j = 0; j < shape[1]; j++) {
            const char *p = source + i * strides[0] + j * strides[1];
            for (k = 0; k < shape[2]; k++, p += strides[2], out += bytes)
                memcpy(out, p, (size_t)bytes);
        }
}

/* An array of rank 3, of any strides, into one that lies in one piece elsewhere. */
static void fa_gather(const char *source, const ptrdiff_t *shape, const ptrdiff_t *strides,
                      ptrdiff_t bytes, char *FA_RESTRICT out)
{
    /* what lies in one piece anyway is one element, a pixel or a row */
    ptrdiff_t whole[3] = {shape[0], shape[1], shape[2]}, steps[3] = {strides[0], strides[1], strides[2]};
    int k;
    for (k = 0; k < 2 && steps[2] == bytes; k++) {
        bytes *= whole[2];
        whole[2] = whole[1];
        steps[2] = steps[1];
        whole[1] = k == 0 ? whole[0] : 1;
        steps[1] = k == 0 ? steps[0] : 0;
        whole[0] = 1;
        steps[0] = 0;
    }
    switch (bytes) {
    case 1: fa_gather_by(source, whole, steps, 1, out); break;
    case 2: fa_gather_by(source, whole, steps, 2, out); break;
    case 3: fa_gather_by(source, whole, steps, 3, out); break;
    case 4: fa_gather_by(source, whole, steps, 4, out); break;
    case 6: fa_gather_by(source, whole, steps, 6, out); break;
    case 8: fa_gather_by(source, whole, steps, 8, out); break;
    case 12: fa_gather_by(source, whole, steps, 12, out); break;
    case 24: fa_gather_by(source, whole, steps, 24, out); break;
    default: fa_gather_by(source, whole, steps, bytes, out);
    }
}

#endif
