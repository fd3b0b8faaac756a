/* Extrema and bytes of values, with NEON. */
#ifndef FASTAUG_VALUES_NEON_H
#define FASTAUG_VALUES_NEON_H

#include <stddef.h>
#include <stdint.h>

#include "platform.h"
#include "simd.h"

#ifdef FA_NEON

/* Adds a multiple of sixteen values to the extrema; returns whether there is a NaN among them. */
static int fa_extrema_neon(const float *FA_RESTRICT x, ptrdiff_t size, float *FA_RESTRICT low,
                           float *FA_RESTRICT high)
{
    float32x4_t lo[4], hi[4];
    uint32x4_t even = vdupq_n_u32(UINT32_MAX);
    ptrdiff_t i;
    int k;
    for (k = 0; k < 4; k++) {
        lo[k] = vld1q_f32(low + 4 * k);
        hi[k] = vld1q_f32(high + 4 * k);
    }
    for (i = 0; i + 16 <= size; i += 16)
        for (k = 0; k < 4; k++) {
            const float32x4_t v = vld1q_f32(x + i + 4 * k);
            /* the instructions for a minimum have ideas of their own of NaN and of -0 */
            lo[k] = vbslq_f32(vcltq_f32(v, lo[k]), v, lo[k]);
            hi[k] = vbslq_f32(vcgtq_f32(v, hi[k]), v, hi[k]);
            even = vandq_u32(even, vceqq_f32(v, v));
        }
    for (k = 0; k < 4; k++) {
        vst1q_f32(low + 4 * k, lo[k]);
        vst1q_f32(high + 4 * k, hi[k]);
    }
    return vminvq_u32(even) == 0;
}

/* Stores sixteen bytes at a time; returns how many values that was. */
static ptrdiff_t fa_store_bytes_neon(const float *FA_RESTRICT x, ptrdiff_t size, float half,
                                     uint8_t *FA_RESTRICT out)
{
    const float32x4_t halves = vdupq_n_f32(half);
    ptrdiff_t i;
/* Truncated; NaN and what is below 0 become 0, what is too large the largest. */
#define FA_LEVELS(at) vqmovn_u32(vcvtq_u32_f32(vaddq_f32(vld1q_f32(at), halves)))
    for (i = 0; i + 16 <= size; i += 16) {
        const uint16x8_t a = vcombine_u16(FA_LEVELS(x + i), FA_LEVELS(x + i + 4));
        const uint16x8_t b = vcombine_u16(FA_LEVELS(x + i + 8), FA_LEVELS(x + i + 12));
        vst1q_u8(out + i, vcombine_u8(vqmovn_u16(a), vqmovn_u16(b)));
    }
#undef FA_LEVELS
    return i;
}

#endif

#endif
