/* Where the samples of a row lie, with NEON: four pixels at a time. */
#ifndef FASTAUG_LOCATE_NEON_H
#define FASTAUG_LOCATE_NEON_H

#include <stddef.h>
#include <stdint.h>

#include "platform.h"
#include "samples.h"
#include "simd.h"

#ifdef FA_NEON

/* Brings coordinates within bounds; the instructions for a minimum have ideas of their own of -0. */
FA_INLINE float32x4_t fa_clamp_four(float32x4_t v, float32x4_t low, float32x4_t high)
{
    v = vbslq_f32(vcgtq_f32(v, low), v, low);
    return vbslq_f32(vcltq_f32(v, high), v, high);
}

FA_INLINE int32x4_t fa_reverse_four(int32x4_t v)
{
    const int32x4_t pairs = vrev64q_s32(v);
    return vextq_s32(pairs, pairs, 2);
}

FA_INLINE float32x4_t fa_reverse_four_floats(float32x4_t v)
{
    return vreinterpretq_f32_s32(fa_reverse_four(vreinterpretq_s32_f32(v)));
}

/* The block from pixel i on, whose positions count from `whole`, and the first of them is `first` (row,
 * column). clamps: whether some may lie outside. Returns the larger of the offsets and `furthest`. */
FA_INLINE int32x4_t fa_locate_block(const fa_axes *axes, float64x2_t first, float64x2_t whole,
                                    const int clamps, int32_t stride, int32_t step, ptrdiff_t i,
                                    ptrdiff_t count, const int reversed, int32x4_t furthest,
                                    fa_samples *s)
{
    const int32x2_t both = vset_lane_s32(step, vdup_n_s32(stride), 1);
    const int32x4_t base =
        vdupq_n_s32(vaddv_s32(vmul_s32(vmovn_s64(vcvtq_s64_f64(whole)), both)));
    const float32x2_t rest = vcvt_f32_f64(vsubq_f64(first, whole));
    const float32x2_t low = vcvt_f32_f64(vnegq_f64(whole));
    const float32x2_t high = vcvt_f32_f64(vsubq_f64(vld1q_f64(axes->last), whole));
    const int32x2_t top = vmovn_s64(vcvtq_s64_f64(vsubq_f64(vld1q_f64(axes->top), whole)));
    int k;
    for (k = 0; k < FA_BLOCK; k += 4) {
        const ptrdiff_t place = reversed ? count - 4 - (i + k) : i + k;
        float32x4_t r = vaddq_f32(vdupq_lane_f32(rest, 0), vld1q_f32(axes->along[0] + k));
        float32x4_t c = vaddq_f32(vdupq_lane_f32(rest, 1), vld1q_f32(axes->along[1] + k));
        int32x4_t rows, columns, offset;
        if (clamps) {
            r = fa_clamp_four(r, vdupq_lane_f32(low, 0), vdupq_lane_f32(high, 0));
            c = fa_clamp_four(c, vdupq_lane_f32(low, 1), vdupq_lane_f32(high, 1));
        }
        rows = vcvtq_s32_f32(r);
        columns = vcvtq_s32_f32(c);
        if (clamps) {
            rows = vminq_s32(rows, vdupq_lane_s32(top, 0));
            columns = vminq_s32(columns, vdupq_lane_s32(top, 1));
        }
        r = vsubq_f32(r, vcvtq_f32_s32(rows));
        c = vsubq_f32(c, vcvtq_f32_s32(columns));
        offset = vmlaq_n_s32(vmlaq_n_s32(base, rows, stride), columns, step);
        furthest = vmaxq_s32(furthest, offset);
        vst1q_f32(s->row_weight + place, reversed ? fa_reverse_four_floats(r) : r);
        vst1q_f32(s->column_weight + place, reversed ? fa_reverse_four_floats(c) : c);
        vst1q_s32(s->offset + place, reversed ? fa_reverse_four(offset) : offset);
    }
    return furthest;
}

/* What fa_locate_near does with each block. */
FA_INLINE void fa_locate_blocks(const fa_axes *axes, double r_start, double c_start, int32_t stride,
                                int32_t step, ptrdiff_t count, const int reversed, fa_samples *s)
{
    /* both axes side by side, as far as a block has one value for each */
    const float64x2_t start = vcombine_f64(vdup_n_f64(r_start), vdup_n_f64(c_start));
    const float64x2_t along = vld1q_f64(axes->step);
    const float64x2_t back = vld1q_f64(axes->back), on = vld1q_f64(axes->on);
    /* within these a block lies in the image, though float32 rounds its coordinates */
    const float64x2_t least = vdupq_n_f64(0.001), most = vsubq_f64(vld1q_f64(axes->last), least);
    int32x4_t furthest = vdupq_n_s32(0);
    ptrdiff_t i;
    for (i = 0; i < count; i += FA_BLOCK) {
        const float64x2_t first = vaddq_f64(start, vmulq_f64(along, vdupq_n_f64((double)i)));
        const float64x2_t smallest = vaddq_f64(first, back), largest = vaddq_f64(first, on);
        const float64x2_t whole = vrndmq_f64(smallest);
        const uint64x2_t inside = vandq_u64(vcgeq_f64(smallest, least), vcleq_f64(largest, most));
        furthest = vgetq_lane_u64(inside, 0) & vgetq_lane_u64(inside, 1)
            ? fa_locate_block(axes, first, whole, 0, stride, step, i, count, reversed, furthest, s)
            : fa_locate_block(axes, first, whole, 1, stride, step, i, count, reversed, furthest, s);
    }
    s->furthest = vmaxvq_s32(furthest);
}

static void fa_locate_near_neon(const fa_axes *axes, double r_start, double c_start, int32_t stride,
                                int32_t step, ptrdiff_t count, int reversed, fa_samples *s)
{
    if (reversed) fa_locate_blocks(axes, r_start, c_start, stride, step, count, 1, s);
    else fa_locate_blocks(axes, r_start, c_start, stride, step, count, 0, s);
}

#endif

#endif
