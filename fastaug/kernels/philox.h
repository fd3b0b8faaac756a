/* Philox 4x64-10, a generator whose numbers are a function of a key and a counter.
 *
 * Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011); the numbers are those of
 * numpy.random.Philox. */
#ifndef FASTAUG_PHILOX_H
#define FASTAUG_PHILOX_H

#include <stddef.h>
#include <stdint.h>

/* The upper half of a product; the lower one is a * b. */
static uint64_t fa_multiply_high(uint64_t a, uint64_t b)
{
#ifdef __SIZEOF_INT128__
    __extension__ typedef unsigned __int128 fa_uint128;
    return (uint64_t)(((fa_uint128)a * b) >> 64);
#else
    const uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    const uint64_t low = a0 * b0, middle = a1 * b0 + (low >> 32), other = a0 * b1 + (uint32_t)middle;
    return a1 * b1 + (middle >> 32) + (other >> 32);
#endif
}

/* Four numbers of a counter. */
static void fa_philox(const uint64_t key[2], const uint64_t counter[4], uint64_t out[4])
{
    uint64_t k0 = key[0], k1 = key[1];
    uint64_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    int round;
    for (round = 0; round < 10; round++) {
        const uint64_t m0 = UINT64_C(0xD2E7470EE14C6C93), m1 = UINT64_C(0xCA5A826395121157);
        const uint64_t high0 = fa_multiply_high(m0, c0), high1 = fa_multiply_high(m1, c2);
        const uint64_t low0 = m0 * c0, low1 = m1 * c2;
        c0 = high1 ^ c1 ^ k0;
        c1 = low1;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += UINT64_C(0x9E3779B97F4A7C15);
        k1 += UINT64_C(0xBB67AE8584CAA73B);
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* Doubles in [0, 1), as numpy.random.Generator(Philox(key, counter=(0, 0, epoch, sample))) draws them. */
static void fa_philox_uniform(const uint64_t key[2], uint64_t epoch, uint64_t sample, ptrdiff_t count,
                              double *out)
{
    uint64_t counter[4] = {0, 0, 0, 0}, bits[4] = {0, 0, 0, 0};
    ptrdiff_t k;
    counter[2] = epoch;
    counter[3] = sample;
    for (k = 0; k < count; k++) {
        if (k % 4 == 0) {
            counter[0]++;
            fa_philox(key, counter, bits);
        }
        out[k] = (double)(bits[k % 4] >> 11) * (1.0 / 9007199254740992.0);
    }
}

#endif
