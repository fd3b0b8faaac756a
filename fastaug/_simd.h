/* Loops of the other files with AVX2 and AVX-512, chosen when the program starts. Part of _pixels.h.
 *
 * The same operations on the same floats as the plain one, so the same bits. A load takes up to
 * fa_reach values from an offset on, which may be more than the 2 x 2 pixels hold: the caller checks
 * that they are in the image.
 */
#if defined(__GNUC__) && defined(__x86_64__)
#define FA_AVX2 1
#include <immintrin.h>
#define FA_TARGET_AVX2 __attribute__((target("avx2")))
#define FA_TARGET_AVX512 __attribute__((target("avx2,avx512f,avx512bw")))
#endif

enum { FA_SIMD_PLAIN, FA_SIMD_AVX2, FA_SIMD_AVX512 };
static int fa_simd = FA_SIMD_PLAIN;

/* The best variant that this processor runs. */
static int fa_best_simd(void)
{
#ifdef FA_AVX2
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            ? FA_SIMD_AVX512 : FA_SIMD_AVX2;
#endif
    return FA_SIMD_PLAIN;
}

#ifdef FA_AVX2

/* Adds a multiple of sixteen values to the extrema; returns whether there is a NaN among them. */
FA_TARGET_AVX2 static int fa_extrema_avx2(const float *FA_RESTRICT x, ptrdiff_t size,
                                          float *FA_RESTRICT low, float *FA_RESTRICT high)
{
    __m256 lo0 = _mm256_loadu_ps(low), lo1 = _mm256_loadu_ps(low + 8);
    __m256 hi0 = _mm256_loadu_ps(high), hi1 = _mm256_loadu_ps(high + 8);
    __m256 odd = _mm256_setzero_ps();
    ptrdiff_t i;
    for (i = 0; i + 16 <= size; i += 16) {
        const __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + 8);
        lo0 = _mm256_min_ps(a, lo0);
        lo1 = _mm256_min_ps(b, lo1);
        hi0 = _mm256_max_ps(a, hi0);
        hi1 = _mm256_max_ps(b, hi1);
        odd = _mm256_or_ps(odd, _mm256_cmp_ps(a, b, _CMP_UNORD_Q));
    }
    _mm256_storeu_ps(low, lo0);
    _mm256_storeu_ps(low + 8, lo1);
    _mm256_storeu_ps(high, hi0);
    _mm256_storeu_ps(high + 8, hi1);
    return _mm256_movemask_ps(odd) != 0;
}

/* Stores thirty-two bytes at a time; returns how many values that was. */
FA_TARGET_AVX2 static ptrdiff_t fa_store_bytes_avx2(const float *FA_RESTRICT x, ptrdiff_t size,
                                                    float half, uint8_t *FA_RESTRICT out)
{
    const __m256 most = _mm256_set1_ps(255), halves = _mm256_set1_ps(half);
    const __m256i fours = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    ptrdiff_t i;
/* The minimum of NaN is NaN; that and what is far below 0 become the smallest of integers. */
#define FA_LEVELS(at) \
    _mm256_cvttps_epi32(_mm256_min_ps(most, _mm256_add_ps(_mm256_loadu_ps(at), halves)))
    for (i = 0; i + 32 <= size; i += 32) {
        const __m256i a = _mm256_packs_epi32(FA_LEVELS(x + i), FA_LEVELS(x + i + 8));
        const __m256i b = _mm256_packs_epi32(FA_LEVELS(x + i + 16), FA_LEVELS(x + i + 24));
        const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), fours);
        _mm256_storeu_si256((__m256i *)(void *)(out + i), bytes);
    }
#undef FA_LEVELS
    return i;
}

/* What fa_locate_near does with each block. */
FA_INLINE FA_TARGET_AVX2 void fa_locate_blocks(const fa_axes *axes, double r_start, double c_start,
                                               int32_t stride, int32_t step, ptrdiff_t count,
                                               const int reversed, fa_samples *s)
{
    /* both axes side by side, as far as a block has one value for each */
    const __m128d start = _mm_setr_pd(r_start, c_start);
    const __m128d along = _mm_loadu_pd(axes->step);
    const __m128d back = _mm_loadu_pd(axes->back), on = _mm_loadu_pd(axes->on);
    const __m128d last = _mm_loadu_pd(axes->last), top = _mm_loadu_pd(axes->top);
    /* within these a block lies in the image, though float32 rounds its coordinates */
    const __m128d least = _mm_set1_pd(0.001), most = _mm_sub_pd(last, least);
    const __m256 r_along = _mm256_loadu_ps(axes->along[0]);
    const __m256 r_on = _mm256_loadu_ps(axes->along[0] + 8);
    const __m256 c_along = _mm256_loadu_ps(axes->along[1]);
    const __m256 c_on = _mm256_loadu_ps(axes->along[1] + 8);
    const __m256i strides = _mm256_set1_epi32(stride), steps = _mm256_set1_epi32(step);
    const __m128i both = _mm_setr_epi32(stride, step, 0, 0);
    const __m256i turn = _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    __m256i furthest = _mm256_setzero_si256();
    int32_t all[8];
    ptrdiff_t i;
    int k;
#define FA_OF_ROW(x) _mm256_broadcastss_ps(x)
#define FA_OF_COLUMN(x) _mm256_broadcastss_ps(_mm_movehdup_ps(x))
/* Eight pixels; clamp takes their coordinates v, in the axis that comes with it. */
#define FA_LOCATE_EIGHT(at, r_along, c_along, clamp, bound) { \
        __m256 r = _mm256_add_ps(FA_OF_ROW(rest), r_along); \
        __m256 c = _mm256_add_ps(FA_OF_COLUMN(rest), c_along); \
        __m256i rows, columns, offset; \
        r = clamp(r, FA_OF_ROW); \
        c = clamp(c, FA_OF_COLUMN); \
        rows = bound(_mm256_cvttps_epi32(r), FA_OF_ROW); \
        columns = bound(_mm256_cvttps_epi32(c), FA_OF_COLUMN); \
        const ptrdiff_t place = reversed ? count - 8 - (at) : (at); \
        r = _mm256_sub_ps(r, _mm256_cvtepi32_ps(rows)); \
        c = _mm256_sub_ps(c, _mm256_cvtepi32_ps(columns)); \
        offset = _mm256_add_epi32(_mm256_mullo_epi32(rows, strides), \
                                  _mm256_mullo_epi32(columns, steps)); \
        offset = _mm256_add_epi32(base, offset); \
        furthest = _mm256_max_epi32(furthest, offset); \
        if (reversed) { \
            r = _mm256_permutevar8x32_ps(r, turn); \
            c = _mm256_permutevar8x32_ps(c, turn); \
            offset = _mm256_permutevar8x32_epi32(offset, turn); \
        } \
        _mm256_storeu_ps(s->row_weight + place, r); \
        _mm256_storeu_ps(s->column_weight + place, c); \
        _mm256_storeu_si256((__m256i *)(void *)(s->offset + place), offset); \
    }
#define FA_CLAMP(v, of) _mm256_min_ps(_mm256_max_ps(v, of(low)), of(high))
#define FA_BOUND(i, of) \
    _mm256_min_epi32(i, _mm256_castps_si256(of(_mm_castsi128_ps(tops))))
#define FA_AS_IT_IS(x, of) (x)
    for (i = 0; i < count; i += FA_BLOCK) {
        const __m128d first = _mm_add_pd(start, _mm_mul_pd(along, _mm_set1_pd((double)i)));
        const __m128d smallest = _mm_add_pd(first, back), largest = _mm_add_pd(first, on);
        const __m128d whole = _mm_floor_pd(smallest);
        const __m128 rest = _mm_cvtpd_ps(_mm_sub_pd(first, whole));
        const __m128i scaled = _mm_mullo_epi32(_mm_cvttpd_epi32(whole), both);
        const __m256i base = _mm256_broadcastd_epi32(
            _mm_add_epi32(scaled, _mm_shuffle_epi32(scaled, _MM_SHUFFLE(1, 1, 1, 1))));
        const __m128d inside =
            _mm_and_pd(_mm_cmpge_pd(smallest, least), _mm_cmple_pd(largest, most));
        if (_mm_movemask_pd(inside) == 3) {
            FA_LOCATE_EIGHT(i, r_along, c_along, FA_AS_IT_IS, FA_AS_IT_IS)
            FA_LOCATE_EIGHT(i + 8, r_on, c_on, FA_AS_IT_IS, FA_AS_IT_IS)
        } else {
            const __m128 low = _mm_cvtpd_ps(_mm_sub_pd(_mm_setzero_pd(), whole));
            const __m128 high = _mm_cvtpd_ps(_mm_sub_pd(last, whole));
            const __m128i tops = _mm_cvttpd_epi32(_mm_sub_pd(top, whole));
            FA_LOCATE_EIGHT(i, r_along, c_along, FA_CLAMP, FA_BOUND)
            FA_LOCATE_EIGHT(i + 8, r_on, c_on, FA_CLAMP, FA_BOUND)
        }
    }
#undef FA_OF_ROW
#undef FA_OF_COLUMN
#undef FA_LOCATE_EIGHT
#undef FA_CLAMP
#undef FA_BOUND
#undef FA_AS_IT_IS
    _mm256_storeu_si256((__m256i *)(void *)all, furthest);
    s->furthest = 0;
    for (k = 0; k < 8; k++) s->furthest = all[k] > s->furthest ? all[k] : s->furthest;
}

FA_TARGET_AVX2 static void fa_locate_near_avx2(const fa_axes *axes, double r_start, double c_start,
                                               int32_t stride, int32_t step, ptrdiff_t count,
                                               int reversed, fa_samples *s)
{
    if (reversed) fa_locate_blocks(axes, r_start, c_start, stride, step, count, 1, s);
    else fa_locate_blocks(axes, r_start, c_start, stride, step, count, 0, s);
}

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
