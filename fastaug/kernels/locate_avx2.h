/* Where the samples of a row lie, with AVX2: eight pixels at a time. */
#ifndef FASTAUG_LOCATE_AVX2_H
#define FASTAUG_LOCATE_AVX2_H

#include "platform.h"
#include "samples.h"
#include "simd.h"

#ifdef FA_AVX2

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
            /* of 0, -0, as in C */
            const __m128 low = _mm_cvtpd_ps(_mm_sub_pd(_mm_set1_pd(-0.0), whole));
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


#endif

#endif
