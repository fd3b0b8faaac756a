/* Resizing as Pillow does it: a filter whose support grows when an image shrinks, in two passes.
 *
 * Source: Resample.c of Pillow. A weight is computed as a double and rounded to 22 binary digits; sums are
 * of integers, and a result is rounded and clipped to a byte after each pass. So the bits are Pillow's,
 * in whatever order they are summed.
 */
#ifndef FASTAUG_RESAMPLE_H
#define FASTAUG_RESAMPLE_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "platform.h"
#include "simd.h"

/* The filters, by Pillow's names. */
enum fa_filter { FA_BOX, FA_BILINEAR, FA_HAMMING, FA_BICUBIC, FA_LANCZOS, FA_FILTERS };

#define FA_WEIGHT_BITS 22
#define FA_LOW_BITS 11        /* of these, those of the second half of a weight */
#define FA_MOST_TAPS 4096     /* with more, a sum of halves could overflow */
#define FA_ROW_READS 32       /* bytes after a row that may be read with its last pixels */

/* The weights of the pixels along one axis. */
typedef struct {
    ptrdiff_t size;           /* pixels of the result */
    ptrdiff_t taps;           /* weights of each, the last ones 0; even */
    const int32_t *first;     /* the first pixel that has a part in each */
    const int32_t *count;     /* how many have */
    const int32_t *weight;    /* taps for each */
    const int32_t *halves;    /* the same in two halves for pairs of taps: both high halves, both low */
} fa_weights;

/* ---- weights ------------------------------------------------------------------------------------ */

FA_INLINE double fa_sinc(double x)
{
    if (x == 0) return 1;
    x *= 3.14159265358979323846;
    return sin(x) / x;
}

/* The value of a filter; x in pixels of the larger of source and result. */
static double fa_filter_at(int filter, double x)
{
    const double a = -0.5;
    switch (filter) {
    case FA_BOX:
        return x > -0.5 && x <= 0.5 ? 1 : 0;
    case FA_BILINEAR:
        x = fabs(x);
        return x < 1 ? 1 - x : 0;
    case FA_HAMMING:
        x = fabs(x);
        if (x == 0) return 1;
        if (x >= 1) return 0;
        x *= 3.14159265358979323846;
        return sin(x) / x * (0.54f + 0.46f * cos(x));
    case FA_BICUBIC:
        x = fabs(x);
        if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
        return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
    default:
        return x >= -3 && x < 3 ? fa_sinc(x) * fa_sinc(x / 3) : 0;
    }
}

/* How far a filter reaches, in pixels of the source.
 *
 * start, stop: The stretch of the source that is resized.
 * size: Pixels of the result. */
static double fa_support(int filter, float start, float stop, ptrdiff_t size)
{
    static const double supports[FA_FILTERS] = {0.5, 1, 1, 2, 3};
    const double scale = (double)(stop - start) / (double)size;
    return supports[filter] * (scale < 1 ? 1 : scale);
}

/* Weights that a pixel of the result has at most; even. */
static ptrdiff_t fa_count_taps(int filter, float start, float stop, ptrdiff_t size)
{
    const ptrdiff_t taps = (ptrdiff_t)ceil(fa_support(filter, start, stop, size)) * 2 + 1;
    return taps + taps % 2;
}

/* Computes the weights of an axis.
 *
 * length: Pixels of the source.
 * start, stop: The stretch of it that is resized.
 * size: Pixels of the result.
 * taps: fa_count_taps.
 * values: Memory for as many doubles.
 * first, count: Get the first pixel that has a part in each of the result, and how many have.
 * weight, halves: Get size * taps weights each; see fa_weights. */
static void fa_set_weights(int filter, ptrdiff_t length, float start, float stop, ptrdiff_t size,
                           ptrdiff_t taps, double *values, int32_t *first, int32_t *count,
                           int32_t *weight, int32_t *halves)
{
    const double support = fa_support(filter, start, stop, size);
    const double scale = (double)(stop - start) / (double)size, whole = 1 << FA_WEIGHT_BITS;
    const double inverse = 1 / (scale < 1 ? 1 : scale);
    ptrdiff_t i, k;
    for (i = 0; i < size; i++) {
        const double center = (double)start + ((double)i + 0.5) * scale;
        ptrdiff_t from = (ptrdiff_t)(center - support + 0.5), to = (ptrdiff_t)(center + support + 0.5);
        double sum = 0;
        from = from < 0 ? 0 : from;
        to = (to > length ? length : to) - from;
        for (k = 0; k < to; k++) {
            values[k] = fa_filter_at(filter, ((double)(k + from) - center + 0.5) * inverse);
            sum += values[k];
        }
        first[i] = (int32_t)from;
        count[i] = (int32_t)to;
        for (k = 0; k < taps; k++) {
            double v = k < to ? values[k] : 0;
            if (sum != 0 && k < to) v /= sum;
            weight[i * taps + k] = (int32_t)((v < 0 ? -0.5 : 0.5) + v * whole);
        }
        for (k = 0; k < taps; k += 2) {
            const int32_t a = weight[i * taps + k], b = weight[i * taps + k + 1];
            const uint32_t low = (1u << FA_LOW_BITS) - 1;
            halves[i * taps + k] = (int32_t)(((uint32_t)(a >> FA_LOW_BITS) & 0xFFFFu)
                                             | (uint32_t)(b >> FA_LOW_BITS) << 16);
            halves[i * taps + k + 1] = (int32_t)(((uint32_t)a & low) | ((uint32_t)b & low) << 16);
        }
    }
}

/* ---- passes ------------------------------------------------------------------------------------- */

/* A sum as a byte. */
FA_INLINE uint8_t fa_byte_of_sum(int32_t sum)
{
    sum >>= FA_WEIGHT_BITS;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

#ifdef FA_AVX2
/* One row of three channels, four taps at a time.
 *
 * in: A row, and FA_ROW_READS bytes.
 * begin: The first pixel of the result. */
FA_TARGET_AVX2 static void fa_resample_row_avx2(const uint8_t *FA_RESTRICT in, const fa_weights *columns,
                                                ptrdiff_t begin, uint8_t *FA_RESTRICT out)
{
    const __m256i pairs = _mm256_setr_epi8(
        0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,
        6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1);
    const __m256i highs = _mm256_setr_epi32(0, 0, 0, 0, 2, 2, 2, 2);
    const __m256i lows = _mm256_setr_epi32(1, 1, 1, 1, 3, 3, 3, 3);
    const __m128i half = _mm_set1_epi32(1 << (FA_WEIGHT_BITS - 1));
    const ptrdiff_t taps = columns->taps;
    ptrdiff_t j, k;
    for (j = begin; j < columns->size; j++) {
        const uint8_t *p = in + 3 * (ptrdiff_t)columns->first[j];
        const int32_t *w = columns->halves + j * taps;
        __m256i high = _mm256_setzero_si256(), low = _mm256_setzero_si256(), sum;
        __m128i total;
        int32_t pixel;
        for (k = 0; k + 2 < columns->count[j]; k += 4) {
            const __m256i x = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128(
                                  (const __m128i *)(const void *)(p + 3 * k))), pairs);
            const __m256i v = _mm256_broadcastsi128_si256(
                _mm_loadu_si128((const __m128i *)(const void *)(w + k)));
            high = _mm256_add_epi32(high, _mm256_madd_epi16(x, _mm256_permutevar8x32_epi32(v, highs)));
            low = _mm256_add_epi32(low, _mm256_madd_epi16(x, _mm256_permutevar8x32_epi32(v, lows)));
        }
        sum = _mm256_add_epi32(_mm256_slli_epi32(high, FA_LOW_BITS), low);
        total = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
        if (k < columns->count[j]) { /* two more */
            const __m128i x = _mm_shuffle_epi8(
                _mm_loadl_epi64((const __m128i *)(const void *)(p + 3 * k)),
                _mm256_castsi256_si128(pairs));
            const __m128i a = _mm_madd_epi16(x, _mm_set1_epi32(w[k]));
            const __m128i b = _mm_madd_epi16(x, _mm_set1_epi32(w[k + 1]));
            total = _mm_add_epi32(total, _mm_add_epi32(_mm_slli_epi32(a, FA_LOW_BITS), b));
        }
        total = _mm_srai_epi32(_mm_add_epi32(total, half), FA_WEIGHT_BITS);
        total = _mm_packus_epi16(_mm_packs_epi32(total, total), total);
        pixel = _mm_cvtsi128_si32(total);
        memcpy(out + 3 * j, &pixel, j + 1 < columns->size ? 4 : 3);
    }
}

/* Taps of a pixel whose support is at most 1: the third is there only where a sum was rounded, and it and
 * the fourth are 0. */
#define FA_SHORT_TAPS 4

/* The sums of three channels of two pixels, one in each half, of FA_SHORT_TAPS. */
FA_INLINE FA_TARGET_AVX2 __m256i fa_resample_two(const uint8_t *in, const fa_weights *columns,
                                                 ptrdiff_t j)
{
    const __m256i pairs = _mm256_broadcastsi128_si256(_mm_setr_epi8(
        0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
    const __m256i half = _mm256_set1_epi32(1 << (FA_WEIGHT_BITS - 1));
    const uint8_t *p = in + 3 * (ptrdiff_t)columns->first[j];
    const uint8_t *q = in + 3 * (ptrdiff_t)columns->first[j + 1];
    const __m256i w = _mm256_loadu_si256(
        (const __m256i *)(const void *)(columns->halves + FA_SHORT_TAPS * j));
    const __m256i pixels = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)(const void *)p)),
        _mm_loadl_epi64((const __m128i *)(const void *)q), 1);
    const __m256i x = _mm256_shuffle_epi8(pixels, pairs);
    const __m256i high = _mm256_madd_epi16(x, _mm256_shuffle_epi32(w, 0x00));
    const __m256i low = _mm256_add_epi32(half, _mm256_madd_epi16(x, _mm256_shuffle_epi32(w, 0x55)));
    return _mm256_srai_epi32(_mm256_add_epi32(_mm256_slli_epi32(high, FA_LOW_BITS), low),
                             FA_WEIGHT_BITS);
}

/* The first pixels of a row of three channels, four at a time, of FA_SHORT_TAPS each; returns how many.
 *
 * in: A row, and FA_ROW_READS bytes. */
FA_TARGET_AVX2 static ptrdiff_t fa_resample_short_avx2(const uint8_t *FA_RESTRICT in,
                                                       const fa_weights *columns,
                                                       uint8_t *FA_RESTRICT out)
{
    const __m128i three_of_four = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14,
                                                -1, -1, -1, -1);
    ptrdiff_t j;
    for (j = 0; j + 4 <= columns->size; j += 4) {
        const __m256i sums = _mm256_packs_epi32(fa_resample_two(in, columns, j),
                                                fa_resample_two(in, columns, j + 2));
        const __m256i bytes = _mm256_packus_epi16(sums, sums);
        const __m128i four = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes),
                                                _mm256_extracti128_si256(bytes, 1));
        const __m128i packed = _mm_shuffle_epi8(four, three_of_four);
        const int32_t last = _mm_extract_epi32(packed, 2);
        _mm_storel_epi64((__m128i *)(void *)(out + 3 * j), packed);
        memcpy(out + 3 * j + 8, &last, 4);
    }
    return j;
}

/* fa_resample_down, sixteen values at a time; returns how many that were. */
FA_TARGET_AVX2 static ptrdiff_t fa_resample_down_avx2(const uint8_t *FA_RESTRICT in, ptrdiff_t step,
                                                      const int32_t *FA_RESTRICT halves,
                                                      ptrdiff_t count, ptrdiff_t size,
                                                      uint8_t *FA_RESTRICT out)
{
    const __m256i half = _mm256_set1_epi32(1 << (FA_WEIGHT_BITS - 1));
    ptrdiff_t i, k;
    for (i = 0; i + 16 <= size; i += 16) {
        __m256i high0 = _mm256_setzero_si256(), low0 = half, high1 = high0, low1 = half;
        for (k = 0; k < count; k += 2) {
            const uint8_t *p = in + k * step + i, *q = k + 1 < count ? p + step : p;
            const __m128i a = _mm_loadu_si128((const __m128i *)(const void *)p);
            const __m128i b = _mm_loadu_si128((const __m128i *)(const void *)q);
            const __m256i x = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
            const __m256i y = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b));
            const __m256i high = _mm256_set1_epi32(halves[k]), low = _mm256_set1_epi32(halves[k + 1]);
            high0 = _mm256_add_epi32(high0, _mm256_madd_epi16(x, high));
            low0 = _mm256_add_epi32(low0, _mm256_madd_epi16(x, low));
            high1 = _mm256_add_epi32(high1, _mm256_madd_epi16(y, high));
            low1 = _mm256_add_epi32(low1, _mm256_madd_epi16(y, low));
        }
        low0 = _mm256_add_epi32(low0, _mm256_slli_epi32(high0, FA_LOW_BITS));
        low1 = _mm256_add_epi32(low1, _mm256_slli_epi32(high1, FA_LOW_BITS));
        low0 = _mm256_packs_epi32(_mm256_srai_epi32(low0, FA_WEIGHT_BITS),
                                  _mm256_srai_epi32(low1, FA_WEIGHT_BITS));
        low0 = _mm256_permute4x64_epi64(low0, 0xD8);
        _mm_storeu_si128((__m128i *)(void *)(out + i),
                         _mm_packus_epi16(_mm256_castsi256_si128(low0),
                                          _mm256_extracti128_si256(low0, 1)));
    }
    return i;
}
#endif

/* One row. */
FA_CLONES static void fa_resample_row(const uint8_t *FA_RESTRICT in, ptrdiff_t channels,
                                      const fa_weights *columns, uint8_t *FA_RESTRICT out)
{
    ptrdiff_t j, k, c;
    for (j = 0; j < columns->size; j++) {
        const ptrdiff_t count = columns->count[j];
        const int32_t *w = columns->weight + j * columns->taps;
        for (c = 0; c < channels; c++) {
            const uint8_t *p = in + columns->first[j] * channels + c;
            int32_t sum = 1 << (FA_WEIGHT_BITS - 1);
            for (k = 0; k < count; k++) sum += p[k * channels] * w[k];
            out[j * channels + c] = fa_byte_of_sum(sum);
        }
    }
}

#define FA_DOWN_VALUES 256

/* Sums rows.
 *
 * in: The first of them.
 * step: Bytes from one to the next.
 * weight: Of each.
 * count: How many there are.
 * size: Values of a row. */
FA_CLONES static void fa_resample_down(const uint8_t *FA_RESTRICT in, ptrdiff_t step,
                                       const int32_t *FA_RESTRICT weight, ptrdiff_t count,
                                       ptrdiff_t size, uint8_t *FA_RESTRICT out)
{
    int32_t sums[FA_DOWN_VALUES];
    ptrdiff_t from, i, k;
    for (from = 0; from < size; from += FA_DOWN_VALUES) {
        const ptrdiff_t n = size - from < FA_DOWN_VALUES ? size - from : FA_DOWN_VALUES;
        for (i = 0; i < n; i++) sums[i] = 1 << (FA_WEIGHT_BITS - 1);
        for (k = 0; k < count; k++) {
            const uint8_t *p = in + k * step + from;
            const int32_t w = weight[k];
            for (i = 0; i < n; i++) sums[i] += p[i] * w;
        }
        for (i = 0; i < n; i++) out[from + i] = fa_byte_of_sum(sums[i]);
    }
}

/* The pass along the columns: the rows [from, to) of an image.
 *
 * memory: A row of the image, and FA_ROW_READS bytes; the others are those of fa_resample. */
static void fa_resample_across(const uint8_t *in, ptrdiff_t stride, ptrdiff_t width, ptrdiff_t channels,
                               ptrdiff_t from, ptrdiff_t to, ptrdiff_t height,
                               const fa_weights *columns, uint8_t *memory, uint8_t *out)
{
    const ptrdiff_t size = width * channels;
    const uint8_t *end = in + (height - 1) * stride + size;
    ptrdiff_t i;
    for (i = from; i < to; i++, out += columns->size * channels) {
        const uint8_t *row = in + i * stride;
#ifdef FA_AVX2
        if (fa_simd >= FA_SIMD_AVX2 && channels == 3 && columns->taps <= FA_MOST_TAPS) {
            if (end - row < size + FA_ROW_READS) { /* what comes after may not be read */
                memcpy(memory, row, (size_t)size);
                memset(memory + size, 0, FA_ROW_READS);
                row = memory;
            }
            fa_resample_row_avx2(
                row, columns,
                columns->taps == FA_SHORT_TAPS ? fa_resample_short_avx2(row, columns, out) : 0, out);
            continue;
        }
#endif
        fa_resample_row(row, channels, columns, out);
    }
    (void)end;
    (void)memory;
}

/* The pass along the rows. size: values of a row. */
static void fa_resample_rows(const uint8_t *in, ptrdiff_t stride, ptrdiff_t size,
                             const fa_weights *rows, uint8_t *out)
{
    ptrdiff_t i;
    for (i = 0; i < rows->size; i++, out += size) {
        const uint8_t *p = in + rows->first[i] * stride;
        ptrdiff_t done = 0;
#ifdef FA_AVX2
        if (fa_simd >= FA_SIMD_AVX2 && rows->taps <= FA_MOST_TAPS)
            done = fa_resample_down_avx2(p, stride, rows->halves + i * rows->taps, rows->count[i],
                                         size, out);
#endif
        fa_resample_down(p + done, stride, rows->weight + i * rows->taps, rows->count[i],
                         size - done, out + done);
    }
}

/* Rows of the source that have a part in the result: [*from, *to). */
static void fa_used_rows(const fa_weights *rows, ptrdiff_t *from, ptrdiff_t *to)
{
    const ptrdiff_t last = rows->size - 1;
    *from = rows->first[0];
    *to = rows->first[last] + rows->count[last];
}

/* Bytes of memory for fa_resample: what the first pass makes, and a row for the other. */
static ptrdiff_t fa_resample_bytes(ptrdiff_t width, ptrdiff_t channels, const fa_weights *rows,
                                   const fa_weights *columns, int rows_first)
{
    ptrdiff_t from = 0, to = 0;
    if (!columns) return 0;
    if (rows) fa_used_rows(rows, &from, &to);
    return (rows && rows_first ? rows->size * width : (to - from) * columns->size) * channels
        + width * channels + FA_ROW_READS;
}

/* Resizes an image of uint8.
 *
 * in: (height, width, channels).
 * stride: Bytes from a row to the next.
 * rows, columns: The weights along each axis; one may be NULL, where that stays as it is.
 * rows_first: Whether the pass along the rows is the first.
 * memory: fa_resample_bytes.
 * out: (rows, columns, channels), in one piece. */
static void fa_resample(const uint8_t *in, ptrdiff_t stride, ptrdiff_t height, ptrdiff_t width,
                        ptrdiff_t channels, const fa_weights *rows, const fa_weights *columns,
                        int rows_first, uint8_t *memory, uint8_t *out)
{
    const ptrdiff_t size = width * channels;
    if (!columns) {
        fa_resample_rows(in, stride, size, rows, out);
    } else if (!rows) {
        fa_resample_across(in, stride, width, channels, 0, height, height, columns, memory, out);
    } else if (rows_first) {
        uint8_t *made = memory + size + FA_ROW_READS;
        fa_resample_rows(in, stride, size, rows, made);
        fa_resample_across(made, size, width, channels, 0, rows->size, rows->size, columns, memory,
                           out);
    } else {
        const ptrdiff_t row_size = columns->size * channels;
        uint8_t *made = memory + size + FA_ROW_READS;
        ptrdiff_t from, to;
        fa_used_rows(rows, &from, &to);
        fa_resample_across(in, stride, width, channels, from, to, height, columns, memory, made);
        /* as if all rows were there */
        fa_resample_rows(made - from * row_size, row_size, row_size, rows, out);
    }
}

#endif
