/* Blends of 2 x 2 pixels, with NEON.
 *
 * A load takes up to fa_reach values from an offset on, which may be more than the 2 x 2 pixels hold: the
 * caller checks that they are in the image. */
#ifndef FASTAUG_BLEND_NEON_H
#define FASTAUG_BLEND_NEON_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "platform.h"
#include "samples.h"
#include "simd.h"

#ifdef FA_NEON

FA_INLINE ptrdiff_t fa_reach_u8(ptrdiff_t channels) { return channels == 1 ? 2 : 8; }
FA_INLINE ptrdiff_t fa_reach_f32(ptrdiff_t channels) { return channels == 1 ? 2 : channels + 4; }

FA_INLINE float32x4_t fa_mix(float32x4_t a, float32x4_t difference, float weight)
{
    return vaddq_f32(a, vmulq_n_f32(difference, weight)); /* not fused */
}

/* Between two rows: a pixel, and its right neighbour. */
FA_INLINE void fa_mix_rows_u8(const uint8_t *p, ptrdiff_t below, const int channels, float weight,
                              float32x4_t *left, float32x4_t *right)
{
    const uint8_t n = (uint8_t)channels, x = 255; /* which stands for a byte of zero */
    const uint8_t first[16] = {0, x, x, x, 1, x, x, x, 2, x, x, x, 3, x, x, x};
    const uint8_t second[16] = {n, x, x, x, (uint8_t)(n + 1), x, x, x,
                                (uint8_t)(n + 2), x, x, x, (uint8_t)(n + 3), x, x, x};
    uint64_t both;
    uint8x16_t upper, lower;
    int32x4_t a, b, d, e;
    memcpy(&both, p, sizeof both);
    upper = vreinterpretq_u8_u64(vdupq_n_u64(both));
    memcpy(&both, p + below, sizeof both);
    lower = vreinterpretq_u8_u64(vdupq_n_u64(both));
    a = vreinterpretq_s32_u8(vqtbl1q_u8(upper, vld1q_u8(first)));
    b = vreinterpretq_s32_u8(vqtbl1q_u8(upper, vld1q_u8(second)));
    d = vreinterpretq_s32_u8(vqtbl1q_u8(lower, vld1q_u8(first)));
    e = vreinterpretq_s32_u8(vqtbl1q_u8(lower, vld1q_u8(second)));
    *left = fa_mix(vcvtq_f32_s32(a), vcvtq_f32_s32(vsubq_s32(d, a)), weight);
    *right = fa_mix(vcvtq_f32_s32(b), vcvtq_f32_s32(vsubq_s32(e, b)), weight);
}

FA_INLINE void fa_mix_rows_f32(const float *p, ptrdiff_t below, const int channels, float weight,
                               float32x4_t *left, float32x4_t *right)
{
    const float *q = p + below;
    const float32x4_t a = vld1q_f32(p), b = vld1q_f32(p + channels);
    *left = fa_mix(a, vsubq_f32(vld1q_f32(q), a), weight);
    *right = fa_mix(b, vsubq_f32(vld1q_f32(q + channels), b), weight);
}

/* One channel, four samples: the pixels, and their right neighbours. */
FA_INLINE void fa_load_four_u8(const uint8_t *image, const int32_t *offset, float32x4_t *a,
                               float32x4_t *b)
{
    uint16_t pairs[4];
    uint32x4_t wide;
    int k;
    for (k = 0; k < 4; k++) memcpy(&pairs[k], image + offset[k], sizeof pairs[k]);
    wide = vmovl_u16(vld1_u16(pairs));
    *a = vcvtq_f32_u32(vandq_u32(wide, vdupq_n_u32(255)));
    *b = vcvtq_f32_u32(vshrq_n_u32(wide, 8));
}

FA_INLINE void fa_load_four_f32(const float *image, const int32_t *offset, float32x4_t *a,
                                float32x4_t *b)
{
    const float32x4_t first =
        vcombine_f32(vld1_f32(image + offset[0]), vld1_f32(image + offset[1]));
    const float32x4_t second =
        vcombine_f32(vld1_f32(image + offset[2]), vld1_f32(image + offset[3]));
    *a = vuzp1q_f32(first, second);
    *b = vuzp2q_f32(first, second);
}

#define FA_BLEND_NEON(type, pixel) \
    /* Three or four channels: those of a pixel side by side. Of three, the fourth value is overwritten \
     * by the next pixel. */ \
    FA_INLINE void fa_blend_pixels_##type(const pixel *FA_RESTRICT image, const int channels, \
                                          const fa_samples *s, ptrdiff_t count, \
                                          float *FA_RESTRICT out) \
    { \
        ptrdiff_t i; \
        for (i = 0; i < count; i++, out += channels) { \
            float32x4_t left, right, v; \
            fa_mix_rows_##type(image + s->offset[i], s->below, channels, s->row_weight[i], &left, \
                               &right); \
            v = fa_mix(left, vsubq_f32(right, left), s->column_weight[i]); \
            if (channels == 4 || i + 1 < count) { \
                vst1q_f32(out, v); \
            } else { \
                vst1_f32(out, vget_low_f32(v)); \
                vst1q_lane_f32(out + 2, v, 2); \
            } \
        } \
    } \
    /* Returns 0 if it does not have this number of channels. */ \
    static int fa_blend_neon_##type(const pixel *FA_RESTRICT image, ptrdiff_t channels, \
                                    const fa_samples *s, ptrdiff_t count, float *FA_RESTRICT out) \
    { \
        const ptrdiff_t below = s->below; \
        ptrdiff_t i; \
        if (s->right != channels) return 0; \
        if (channels == 3) { \
            fa_blend_pixels_##type(image, 3, s, count, out); \
            return 1; \
        } \
        if (channels == 4) { \
            fa_blend_pixels_##type(image, 4, s, count, out); \
            return 1; \
        } \
        if (channels != 1) return 0; \
        for (i = 0; i + 4 <= count; i += 4) { \
            const float32x4_t fr = vld1q_f32(s->row_weight + i); \
            const float32x4_t fc = vld1q_f32(s->column_weight + i); \
            float32x4_t a, b, d, e, left, right; \
            fa_load_four_##type(image, s->offset + i, &a, &b); \
            fa_load_four_##type(image + below, s->offset + i, &d, &e); \
            left = vaddq_f32(a, vmulq_f32(fr, vsubq_f32(d, a))); \
            right = vaddq_f32(b, vmulq_f32(fr, vsubq_f32(e, b))); \
            vst1q_f32(out + i, vaddq_f32(left, vmulq_f32(fc, vsubq_f32(right, left)))); \
        } \
        for (; i < count; i++) { \
            const pixel *p = image + s->offset[i], *q = p + below; \
            const float fr = s->row_weight[i]; \
            const float left = (float)p[0] + fr * ((float)q[0] - (float)p[0]); \
            const float right = (float)p[1] + fr * ((float)q[1] - (float)p[1]); \
            out[i] = left + s->column_weight[i] * (right - left); \
        } \
        return 1; \
    }

FA_BLEND_NEON(u8, uint8_t)
FA_BLEND_NEON(f32, float)

#undef FA_BLEND_NEON

#endif

#endif
