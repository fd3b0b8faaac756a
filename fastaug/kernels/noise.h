/* Random numbers of the values of an image: a function of a key and of the value's position. */
#ifndef FASTAUG_NOISE_H
#define FASTAUG_NOISE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "convert.h"
#include "platform.h"

#define FA_NORMALS 256  /* numbers that are made at a time; an even number */

/* The key of a whole number below 2**53, in a column of the table: its bits all over. */
FA_INLINE uint64_t fa_key_of(double column) { return (uint64_t)column * UINT64_C(0x9E3779B97F4A7C15); }

/* 32 bits of a position: multiplications and shifts that mix all bits ("lowbias32" of Chris Wellons'
 * hash-prospector), with half of the key before them and half between them. Loops over it are vectors. */
FA_INLINE uint32_t fa_random_bits(uint64_t key, uint32_t position)
{
    uint32_t x = position ^ (uint32_t)key;
    x ^= x >> 16;
    x *= UINT32_C(0x7feb352d);
    x ^= (uint32_t)(key >> 32);
    x ^= x >> 15;
    x *= UINT32_C(0x846ca68b);
    x ^= x >> 16;
    return x;
}

/* The natural logarithm of a number in (0, 1], to about 1e-6. */
FA_INLINE float fa_log(float x)
{
    const int32_t bits = (int32_t)fa_bits_of_float(x);
    const float exponent = (float)((bits >> 23) - 127);
    const float m = fa_float_of_bits((uint32_t)((bits & 0x7fffff) | 0x3f800000));
    const float s = (m - 1) / (m + 1), q = s * s;
    const float series = 1 + q * (1 / 3.0f + q * (1 / 5.0f + q * (1 / 7.0f + q * (1 / 9.0f))));
    return exponent * 0.693147181f + 2 * s * series;
}

/* Standard normal numbers of the positions [first, first + FA_NORMALS), by Box and Muller's method: a
 * radius and an angle make two of them.
 *
 * first: A multiple of FA_NORMALS. */
FA_INLINE void fa_normals(uint64_t key, uint32_t first, float *FA_RESTRICT out)
{
    int k;
    for (k = 0; k < FA_NORMALS / 2; k++) {
        const uint32_t a = fa_random_bits(key, first + (uint32_t)k);
        const uint32_t b = fa_random_bits(key, first + (uint32_t)(k + FA_NORMALS / 2));
        const float above = ((float)(int32_t)(a >> 1) + 0.5f) * (1 / 2147483648.0f);
        const float square = -2 * fa_log(above);
        const float radius = sqrtf(square > 0 ? square : 0);
        /* half of the angle, from -pi / 2 to pi / 2, and its sine and cosine by Taylor's series */
        const float half = (float)(int32_t)b * (1.57079633f / 2147483648.0f), q = half * half;
        const float sine = half * (1 + q * (-1 / 6.0f + q * (1 / 120.0f + q * (-1 / 5040.0f
            + q * (1 / 362880.0f)))));
        const float cosine = 1 + q * (-1 / 2.0f + q * (1 / 24.0f + q * (-1 / 720.0f
            + q * (1 / 40320.0f + q * (-1 / 3628800.0f)))));
        out[k] = radius * (2 * sine * cosine);
        out[k + FA_NORMALS / 2] = radius * (1 - 2 * sine * sine);
    }
}

#endif
