/* How an image goes on outside: the border rules of scipy.ndimage, which Keras uses.
 *
 *     nearest        a a a a | a b c d | d d d d
 *     reflect        d c b a | a b c d | d c b a
 *     mirror         . d c b | a b c d | c b a .
 *     grid-wrap      a b c d | a b c d | a b c d
 *     wrap           period n - 1: the first and the last pixel are the same point
 *     constant       k k k k | a b c d | k k k k    a sample outside [0, n - 1] is k whole
 *     grid-constant  k k k k | a b c d | k k k k    samples blend into k over one pixel
 *
 * A coordinate is a double in units of pixels, pixel centres on the integers. */
#ifndef FASTAUG_BORDER_H
#define FASTAUG_BORDER_H

#include <math.h>
#include <stddef.h>

#include "platform.h"

enum fa_border {
    FA_NEAREST, FA_REFLECT, FA_MIRROR, FA_GRID_WRAP, FA_WRAP, FA_CONSTANT, FA_GRID_CONSTANT
};

#define FA_FAR 1e9  /* beyond any image; keeps conversions to integers defined */

/* Brings a coordinate into reach of [0, n - 1]. Returns 0 where the sample is the constant. */
FA_INLINE int fa_fold(double *coordinate, ptrdiff_t n, int border)
{
    double v = *coordinate, period;
    const double last = (double)(n - 1);
    if (!(v > -FA_FAR)) v = -FA_FAR;  /* NaN comes here too */
    if (v > FA_FAR) v = FA_FAR;
    if (v < 0 || v > last) {
        switch (border) {
        case FA_NEAREST:
            v = v < 0 ? 0 : last;
            break;
        case FA_REFLECT:
            period = 2.0 * (double)n;
            v -= period * floor(v / period);
            if (v > (double)n - 0.5) v = period - 1 - v;
            break;
        case FA_MIRROR:
            if (n == 1) { v = 0; break; }
            period = 2.0 * last;
            v -= period * floor(v / period);
            if (v > last) v = period - v;
            break;
        case FA_GRID_WRAP:
            period = (double)n;
            v -= period * floor(v / period);
            break;
        case FA_WRAP:
            if (n == 1) { v = 0; break; }
            if (v < 0) v += last * (floor(-v / last) + 1);
            else v -= last * floor(v / last);
            break;
        case FA_CONSTANT:
            return 0;
        case FA_GRID_CONSTANT:
            if (v <= -1 || v >= (double)n) return 0;
            break;
        }
    }
    *coordinate = v;
    return 1;
}

/* The pixel that a tap one step outside stands for; -1: the constant. */
FA_INLINE ptrdiff_t fa_tap(ptrdiff_t i, ptrdiff_t n, int border)
{
    if (i >= 0 && i < n) return i;
    switch (border) {
    case FA_GRID_WRAP:
        return i < 0 ? n - 1 : 0;
    case FA_GRID_CONSTANT:
        return -1;
    default:  /* the tap past the last pixel of the others has weight 0, or repeats the edge */
        return i < 0 ? 0 : n - 1;
    }
}

/* The pixel that one anywhere outside stands for; -1: the constant. */
static ptrdiff_t fa_beyond(ptrdiff_t i, ptrdiff_t n, int border)
{
    double v = (double)i;
    if (i >= 0 && i < n) return i;
    return border != FA_GRID_CONSTANT && fa_fold(&v, n, border) ? (ptrdiff_t)v : -1;
}

/* Whether a coordinate outside is brought inside, not to the edge. */
FA_INLINE int fa_folds(int border)
{
    return border == FA_REFLECT || border == FA_MIRROR || border == FA_WRAP;
}

/* Brings coordinates into [0, n - 1], as far as it is not the clamping that follows. */
FA_CLONES static void fa_fold_all(double *FA_RESTRICT v, ptrdiff_t count, ptrdiff_t n, int border)
{
    const double last = (double)(n - 1);
    const double period = border == FA_WRAP ? last : border == FA_MIRROR ? 2 * last : 2 * last + 2;
    const double edge = border == FA_REFLECT ? last + 0.5 : last;
    const double mirrored = border == FA_REFLECT ? period - 1 : period;
    ptrdiff_t i;
    if (period == 0) {
        for (i = 0; i < count; i++) v[i] = 0;
    } else if (border == FA_WRAP) {
        /* a coordinate inside stays: the last pixel is not the first one */
        for (i = 0; i < count; i++) {
            const double down = v[i] - period * floor(v[i] / period);
            const double up = v[i] + period * (floor(-v[i] / period) + 1);
            v[i] = v[i] < 0 ? up : v[i] > last ? down : v[i];
        }
    } else {
        for (i = 0; i < count; i++) {
            const double folded = v[i] - period * floor(v[i] / period);
            v[i] = folded > edge ? mirrored - folded : folded;
        }
    }
}

/* Columns [*from, *to) of an output row whose source coordinate start + step * column lies in
 * [0, limit]; narrows the range it is given. Rounding is monotone, so the range has no holes. */
static void fa_inside(double start, double step, double limit, ptrdiff_t *from, ptrdiff_t *to)
{
    ptrdiff_t a = *from, b = *to;
    if (step != 0) {
        double first = -start / step, last = (limit - start) / step;
        if (first > last) { const double swap = first; first = last; last = swap; }
        if (!(first < (double)b)) first = (double)b;
        if (!(last > (double)a - 2)) last = (double)a - 2;
        if (first - 1 > (double)a) a = (ptrdiff_t)first - 1;
        if (last + 2 < (double)b) b = (ptrdiff_t)last + 2;
    }
    while (a < b && !(start + step * (double)a >= 0 && start + step * (double)a <= limit)) a++;
    while (b > a && !(start + step * (double)(b - 1) >= 0
                      && start + step * (double)(b - 1) <= limit)) b--;
    *from = a;
    *to = b > a ? b : a;
}

#endif
