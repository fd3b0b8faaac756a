/* Blends of 2 x 2 pixels, with AVX2 and AVX-512.
 *
 * A load takes up to fa_reach values from an offset on, which may be more than the 2 x 2 pixels hold: the
 * caller checks that they are in the image. */
#ifndef FASTAUG_BLEND_AVX2_H
#define FASTAUG_BLEND_AVX2_H

#include "platform.h"
#include "samples.h"
#include "simd.h"

#ifdef FA_AVX2

FA_INLINE ptrdiff_t fa_reach_u8(ptrdiff_t channels) { return channels == 1 ? 4 : 16; }
FA_INLINE ptrdiff_t fa_reach_f32(ptrdiff_t channels) { return channels == 1 ? 2 : channels + 4; }

/* Two pixels side by side, one in each half, in the type that they are subtracted in. */
FA_INLINE FA_TARGET_AVX2 __m256i fa_pair_u8(const uint8_t *p, ptrdiff_t channels)
{
    const __m256i bytes =
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p));
    const int x = -1, next = (int)channels;
    const __m256i wide = _mm256_setr_epi8(
        0, x, x, x, 1, x, x, x, 2, x, x, x, 3, x, x, x,
        next, x, x, x, next + 1, x, x, x, next + 2, x, x, x, next + 3, x, x, x);
    return _mm256_shuffle_epi8(bytes, wide);
}

FA_INLINE FA_TARGET_AVX2 __m256 fa_float_u8(__m256i pair) { return _mm256_cvtepi32_ps(pair); }

FA_INLINE FA_TARGET_AVX2 __m256 fa_difference_u8(__m256i a, __m256i b)
{
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(a, b));
}

FA_INLINE FA_TARGET_AVX2 __m256 fa_pair_f32(const float *p, ptrdiff_t channels)
{
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)),
                                _mm_loadu_ps(p + channels), 1);
}

FA_INLINE FA_TARGET_AVX2 __m256 fa_float_f32(__m256 pair) { return pair; }

FA_INLINE FA_TARGET_AVX2 __m256 fa_difference_f32(__m256 a, __m256 b)
{
    return _mm256_sub_ps(a, b);
}

typedef __m256i fa_pair_of_u8;
typedef __m256 fa_pair_of_f32;

/* A pixel and its right neighbour, one in each half, between two rows. */
#define FA_MIX_ROWS(type, channels, i, mixed) \
    const fa_pair_of_##type upper_##mixed = fa_pair_##type(image + s->offset[i], channels); \
    const fa_pair_of_##type lower_##mixed = \
        fa_pair_##type(image + s->offset[i] + below, channels); \
    const __m256 mixed = _mm256_add_ps( \
        fa_float_##type(upper_##mixed), \
        _mm256_mul_ps(_mm256_broadcast_ss(&s->row_weight[i]), \
                      fa_difference_##type(lower_##mixed, upper_##mixed)));

/* Three or four channels: those of a pixel side by side, two pixels at a time. Of three, the fourth
 * value is overwritten by the next pixel. */
#define FA_BLEND_PAIRS(type, channels) \
    for (i = 0; i + 2 < count; i += 2) { \
        FA_MIX_ROWS(type, channels, i, first) \
        FA_MIX_ROWS(type, channels, i + 1, second) \
        const __m256 fc = _mm256_insertf128_ps( \
            _mm256_castps128_ps256(_mm_broadcast_ss(&s->column_weight[i])), \
            _mm_broadcast_ss(&s->column_weight[i + 1]), 1); \
        const __m256 left = _mm256_permute2f128_ps(first, second, 0x20); \
        const __m256 right = _mm256_permute2f128_ps(first, second, 0x31); \
        const __m256 v = _mm256_add_ps(left, _mm256_mul_ps(fc, _mm256_sub_ps(right, left))); \
        _mm_storeu_ps(out + i * channels, _mm256_castps256_ps128(v)); \
        _mm_storeu_ps(out + (i + 1) * channels, _mm256_extractf128_ps(v, 1)); \
    } \
    for (; i < count; i++) { \
        FA_MIX_ROWS(type, channels, i, mixed) \
        const __m128 fc = _mm_broadcast_ss(&s->column_weight[i]); \
        const __m128 left = _mm256_castps256_ps128(mixed); \
        const __m128 right = _mm256_extractf128_ps(mixed, 1); \
        const __m128 v = _mm_add_ps(left, _mm_mul_ps(fc, _mm_sub_ps(right, left))); \
        if (channels == 4 || i + 1 < count) \
            _mm_storeu_ps(out + i * channels, v); \
        else { \
            _mm_storel_pi((__m64 *)(void *)(out + i * channels), v); \
            _mm_store_ss(out + i * channels + 2, _mm_movehl_ps(v, v)); \
        } \
    }

/* One channel: eight pixels at a time. */
#define FA_BLEND_EIGHT(load_pair) \
    for (i = 0; i + 8 <= count; i += 8) { \
        const __m256i at = _mm256_loadu_si256((const __m256i *)(const void *)(s->offset + i)); \
        const __m256i under = _mm256_add_epi32(at, _mm256_set1_epi32((int32_t)below)); \
        const __m256 fr = _mm256_loadu_ps(s->row_weight + i); \
        const __m256 fc = _mm256_loadu_ps(s->column_weight + i); \
        __m256 a, b, d, e, left, right; \
        load_pair(at, a, b) \
        load_pair(under, d, e) \
        left = _mm256_add_ps(a, _mm256_mul_ps(fr, _mm256_sub_ps(d, a))); \
        right = _mm256_add_ps(b, _mm256_mul_ps(fr, _mm256_sub_ps(e, b))); \
        _mm256_storeu_ps(out + i, \
                         _mm256_add_ps(left, _mm256_mul_ps(fc, _mm256_sub_ps(right, left)))); \
    }

#define FA_GATHER_U8(at, x, y) { \
        const __m256i four = _mm256_i32gather_epi32((const int *)(const void *)image, at, 1); \
        const __m256i byte = _mm256_set1_epi32(255); \
        x = _mm256_cvtepi32_ps(_mm256_and_si256(four, byte)); \
        y = _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(four, 8), byte)); \
    }

#define FA_GATHER_F32(at, x, y) { \
        x = _mm256_i32gather_ps(image, at, 4); \
        y = _mm256_i32gather_ps(image + 1, at, 4); \
    }

#define FA_BLEND_AVX2(type, pixel, gather) \
    FA_TARGET_AVX2 static int fa_blend_avx2_##type( \
        const pixel *FA_RESTRICT image, ptrdiff_t channels, const fa_samples *s, ptrdiff_t count, \
        float *FA_RESTRICT out) \
    { \
        const ptrdiff_t below = s->below; \
        ptrdiff_t i; \
        if (s->right != channels) return 0; \
        if (channels == 3) { \
            FA_BLEND_PAIRS(type, 3) \
        } else if (channels == 4) { \
            FA_BLEND_PAIRS(type, 4) \
        } else if (channels == 1) { \
            FA_BLEND_EIGHT(gather) \
            for (; i < count; i++) { \
                const pixel *p = image + s->offset[i], *q = p + below; \
                const float fr = s->row_weight[i]; \
                const float left = (float)p[0] + fr * ((float)q[0] - (float)p[0]); \
                const float right = (float)p[1] + fr * ((float)q[1] - (float)p[1]); \
                out[i] = left + s->column_weight[i] * (right - left); \
            } \
        } else { \
            return 0; \
        } \
        return 1; \
    }

FA_BLEND_AVX2(u8, uint8_t, FA_GATHER_U8)
FA_BLEND_AVX2(f32, float, FA_GATHER_F32)

/* uint8, three or four channels: the pixels of four samples, one in each quarter. */
FA_INLINE FA_TARGET_AVX512 __m512i fa_four_pixels(const uint8_t *image, const int32_t *offset)
{
#define FA_PIXELS(k) _mm_loadu_si128((const __m128i *)(const void *)(image + offset[k]))
    __m512i bytes = _mm512_castsi128_si512(FA_PIXELS(0));
    bytes = _mm512_mask_broadcast_i32x4(bytes, 0x00f0, FA_PIXELS(1));
    bytes = _mm512_mask_broadcast_i32x4(bytes, 0x0f00, FA_PIXELS(2));
    return _mm512_mask_broadcast_i32x4(bytes, 0xf000, FA_PIXELS(3));
#undef FA_PIXELS
}

/* Four values from a byte on, of each quarter. */
FA_INLINE FA_TARGET_AVX512 __m512 fa_values_from(__m512i bytes, const int first)
{
    const __m128i wide = _mm_setr_epi32(first, first + 1, first + 2, first + 3);
    const __m128i one_byte = _mm_or_si128(wide, _mm_set1_epi32((int)0xffffff00));
    return _mm512_cvtepi32_ps(_mm512_shuffle_epi8(bytes, _mm512_broadcast_i32x4(one_byte)));
}

FA_INLINE FA_TARGET_AVX512 __m512 fa_four_weights(const float *weight)
{
    const __m512i quarter = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    return _mm512_permutevar_ps(_mm512_broadcast_f32x4(_mm_loadu_ps(weight)), quarter);
}

FA_INLINE FA_TARGET_AVX512 void fa_blend_fours(const uint8_t *FA_RESTRICT image,
                                               const int channels, const fa_samples *s,
                                               ptrdiff_t count, float *FA_RESTRICT out)
{
    const __m512i three_of_four =
        _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 15, 15, 15, 15);
    ptrdiff_t i;
    for (i = 0; i < count; i += 4) {
        const __m512i upper = fa_four_pixels(image, s->offset + i);
        const __m512i lower = fa_four_pixels(image + s->below, s->offset + i);
        const __m512 fr = fa_four_weights(s->row_weight + i);
        const __m512 fc = fa_four_weights(s->column_weight + i);
        const __m512 a = fa_values_from(upper, 0), b = fa_values_from(upper, channels);
        const __m512 d = fa_values_from(lower, 0), e = fa_values_from(lower, channels);
        const __m512 left = _mm512_add_ps(a, _mm512_mul_ps(fr, _mm512_sub_ps(d, a)));
        const __m512 right = _mm512_add_ps(b, _mm512_mul_ps(fr, _mm512_sub_ps(e, b)));
        const __m512 v = _mm512_add_ps(left, _mm512_mul_ps(fc, _mm512_sub_ps(right, left)));
        float *pixels = out + i * channels;
        if (channels == 4) {
            _mm512_storeu_ps(pixels, v);
        } else { /* what is behind them is overwritten by the next */
            const __m512 packed = _mm512_permutexvar_ps(three_of_four, v);
            if (i + 8 <= count) _mm512_storeu_ps(pixels, packed);
            else _mm512_mask_storeu_ps(pixels, 0x0fff, packed);
        }
    }
}

#define FA_WIDE 64 /* samples: with fewer, AVX2 is as fast */

FA_TARGET_AVX512 static int fa_blend_avx512_u8(const uint8_t *FA_RESTRICT image, ptrdiff_t channels,
                                               const fa_samples *s, ptrdiff_t count,
                                               float *FA_RESTRICT out)
{
    const ptrdiff_t whole = count - count % 4;
    fa_samples rest = *s;
    if (count < FA_WIDE || s->right != channels) return 0;
    if (channels == 3) fa_blend_fours(image, 3, s, whole, out);
    else if (channels == 4) fa_blend_fours(image, 4, s, whole, out);
    else return 0;
    rest.offset += whole;
    rest.row_weight += whole;
    rest.column_weight += whole;
    fa_blend_avx2_u8(image, channels, &rest, count - whole, out + whole * channels);
    return 1;
}

FA_INLINE int fa_blend_avx512_f32(const float *image, ptrdiff_t channels, const fa_samples *s,
                                  ptrdiff_t count, float *out)
{
    (void)image, (void)channels, (void)s, (void)count, (void)out;
    return 0; /* one pixel of float32 already fills AVX2 */
}


#endif

#endif
