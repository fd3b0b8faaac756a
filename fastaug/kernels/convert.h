/* Values of other types into float32, and float16 into and out of it.
 *
 * The values that NumPy makes, but for the payload of NaN. float16 is taken apart here, because few
 * compilers may take for granted that the processor knows it. */
#ifndef FASTAUG_CONVERT_H
#define FASTAUG_CONVERT_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "image.h"
#include "platform.h"

FA_INLINE float fa_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

FA_INLINE uint32_t fa_bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

#define FA_HALF_BIAS ((uint32_t)112 << 23) /* between the exponents of float16 and float32 */

/* A float16 from its bits. */
FA_INLINE float fa_float_of_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = (uint32_t)(half & 0x7fff) << 13;
    const uint32_t exponent = rest & 0x0f800000, one = (uint32_t)1 << 23;
    const uint32_t normal = rest + FA_HALF_BIAS, beyond = normal + FA_HALF_BIAS; /* infinite or NaN */
    /* without a leading one: with it, and then without */
    const uint32_t small = fa_bits_of_float(fa_float_of_bits(normal + one)
                                            - fa_float_of_bits(FA_HALF_BIAS + one));
    return fa_float_of_bits(
        sign | (exponent == 0 ? small : exponent == 0x0f800000 ? beyond : normal));
}

/* The bits of the nearest float16; of two, the even one. */
FA_INLINE uint16_t fa_half_of_float(float value)
{
    const uint32_t bits = fa_bits_of_float(value), rest = bits & 0x7fffffff;
    const uint32_t payload = rest >> 13 & 0x3ff;
    const uint32_t beyond = 0x7c00 | (rest > 0x7f800000 ? payload ? payload : 1 : 0);
    /* the sum's last digit is that of the smallest float16 */
    const uint32_t small = fa_bits_of_float(fa_float_of_bits(rest) + 0.5f) - fa_bits_of_float(0.5f);
    const uint32_t normal = (rest - FA_HALF_BIAS + 0xfff + (rest >> 13 & 1)) >> 13;
    return (uint16_t)((bits >> 16 & 0x8000)
                      | (rest >= 0x47800000 ? beyond : rest < 0x38800000 ? small : normal));
}

/* A double as a float32 that becomes the same float16: what is between two of them is made odd. */
FA_INLINE float fa_odd_float(double value)
{
    const float nearest = (float)value;
    const uint32_t bits = fa_bits_of_float(nearest);
    const uint32_t down = bits - (fabs((double)nearest) > fabs(value));
    return fa_float_of_bits((double)nearest != value ? down | 1 : bits);
}

FA_CLONES static void fa_halves_to_floats(const uint16_t *FA_RESTRICT x, ptrdiff_t size,
                                          float *FA_RESTRICT out)
{
    ptrdiff_t i;
    for (i = 0; i < size; i++) out[i] = fa_float_of_half(x[i]);
}

/* Returns whether a value that is finite is too large for it. */
FA_CLONES static int fa_floats_to_halves(const float *FA_RESTRICT x, ptrdiff_t size,
                                         uint16_t *FA_RESTRICT out)
{
    uint32_t overflows = 0;
    ptrdiff_t i;
    for (i = 0; i < size; i++) {
        const uint32_t rest = fa_bits_of_float(x[i]) & 0x7fffffff;
        out[i] = fa_half_of_float(x[i]);
        overflows |= (rest >= 0x477ff000) & (rest < 0x7f800000);
    }
    return overflows != 0;
}

FA_CLONES static int fa_doubles_to_halves(const double *FA_RESTRICT x, ptrdiff_t size,
                                          uint16_t *FA_RESTRICT out)
{
    uint32_t overflows = 0;
    ptrdiff_t i;
    for (i = 0; i < size; i++) {
        const double magnitude = fabs(x[i]);
        out[i] = fa_half_of_float(fa_odd_float(x[i]));
        overflows |= (magnitude >= 65520) & (magnitude < INFINITY);
    }
    return overflows != 0;
}

/* Values of a type as float32. */
FA_CLONES static void fa_to_floats(int type, const void *FA_RESTRICT values, ptrdiff_t size,
                                   float *FA_RESTRICT out)
{
    ptrdiff_t i;
#define FA_CASE(name, kind) \
    case name: { \
        const kind *x = values; \
        for (i = 0; i < size; i++) out[i] = (float)x[i]; \
        break; \
    }
    switch (type) {
    FA_CASE(FA_UINT8, uint8_t)
    FA_CASE(FA_INT8, int8_t)
    FA_CASE(FA_UINT16, uint16_t)
    FA_CASE(FA_INT16, int16_t)
    FA_CASE(FA_UINT32, uint32_t)
    FA_CASE(FA_INT32, int32_t)
    FA_CASE(FA_UINT64, uint64_t)
    FA_CASE(FA_INT64, int64_t)
    FA_CASE(FA_FLOAT64, double)
    case FA_FLOAT16:
        fa_halves_to_floats(values, size, out);
        break;
    }
#undef FA_CASE
}

#endif
