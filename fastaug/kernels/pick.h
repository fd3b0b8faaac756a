/* Resizing by picking pixels. */
#ifndef FASTAUG_PICK_H
#define FASTAUG_PICK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "platform.h"
#include "simd.h"

/* Sixteen bytes of `bytes` in another order; where that is 0x80 or more, zero. */
#if defined(FA_AVX2)
#define FA_SHUFFLES FA_SIMD_AVX2
#define FA_TARGET_SHUFFLE FA_TARGET_AVX2
FA_INLINE FA_TARGET_SHUFFLE void fa_shuffle(const uint8_t *bytes, const uint8_t *order, uint8_t *out)
{
    _mm_storeu_si128((__m128i *)(void *)out,
                     _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)bytes),
                                      _mm_loadu_si128((const __m128i *)(const void *)order)));
}
#elif defined(FA_NEON)
#define FA_SHUFFLES FA_SIMD_NEON
#define FA_TARGET_SHUFFLE
FA_INLINE void fa_shuffle(const uint8_t *bytes, const uint8_t *order, uint8_t *out)
{
    vst1q_u8(out, vqtbl1q_u8(vld1q_u8(bytes), vld1q_u8(order)));
}
#endif

#ifdef FA_SHUFFLES /* the variant from which on */
#define FA_PICKS 128

/* Up to five pixels that lie in the same sixteen bytes. */
typedef struct {
    uint8_t shuffle[16];
    int32_t from, to, bytes;  /* where in a row of the image and of the result, and how many */
} fa_pick;

/* fa_pick_pixels, sixteen bytes at a time; both rows have that many. */
FA_TARGET_SHUFFLE static void fa_pick_shuffled(const uint8_t *FA_RESTRICT image, ptrdiff_t stride,
                                               ptrdiff_t width, const int32_t *FA_RESTRICT rows,
                                               ptrdiff_t row_count,
                                               const int32_t *FA_RESTRICT columns,
                                               ptrdiff_t column_count, uint8_t *FA_RESTRICT out)
{
    const int32_t row_bytes = (int32_t)(3 * column_count), last = (int32_t)(3 * width - 16);
    fa_pick picks[FA_PICKS];
    ptrdiff_t j = 0, i;
    while (j < column_count) {
        const int32_t begin = (int32_t)(3 * j);
        int count = 0, whole = 0, k;
        for (; j < column_count && count < FA_PICKS; count++) {
            fa_pick *pick = &picks[count];
            pick->from = 3 * columns[j] < last ? 3 * columns[j] : last;
            pick->to = (int32_t)(3 * j);
            memset(pick->shuffle, 0x80, 16);
            for (k = 0; k < 15 && j < column_count && 3 * columns[j] + 3 <= pick->from + 16; j++) {
                const uint8_t first = (uint8_t)(3 * columns[j] - pick->from);
                pick->shuffle[k++] = first;
                pick->shuffle[k++] = (uint8_t)(first + 1);
                pick->shuffle[k++] = (uint8_t)(first + 2);
            }
            pick->bytes = k;
            if (pick->to + 16 <= row_bytes) whole = count + 1; /* what is too much comes again */
        }
        for (i = 0; i < row_count; i++) {
            const uint8_t *source = image + rows[i] * stride;
            uint8_t *line = out + i * row_bytes;
            if (i > 0 && rows[i] == rows[i - 1]) {
                memcpy(line + begin, line + begin - row_bytes, (size_t)(3 * j - begin));
                continue;
            }
            for (k = 0; k < count; k++) {
                const fa_pick *pick = &picks[k];
                if (k < whole) {
                    fa_shuffle(source + pick->from, pick->shuffle, line + pick->to);
                } else {
                    uint8_t rest[16];
                    fa_shuffle(source + pick->from, pick->shuffle, rest);
                    memcpy(line + pick->to, rest, (size_t)pick->bytes);
                }
            }
        }
    }
}
#endif

/* image of three channels, a row `stride` bytes; rows and columns to take, the columns ascending. */
static void fa_pick_pixels(const uint8_t *FA_RESTRICT image, ptrdiff_t stride, ptrdiff_t width,
                           const int32_t *FA_RESTRICT rows, ptrdiff_t row_count,
                           const int32_t *FA_RESTRICT columns, ptrdiff_t column_count,
                           uint8_t *FA_RESTRICT out)
{
    /* four bytes at a time, but not where the fourth is past the row that is read or written */
    ptrdiff_t by_four = column_count - 1, i, j;
#ifdef FA_SHUFFLES
    if (fa_simd >= FA_SHUFFLES && width >= 6 && column_count >= 6 && width < INT32_MAX / 3
        && column_count < INT32_MAX / 3) {
        fa_pick_shuffled(image, stride, width, rows, row_count, columns, column_count, out);
        return;
    }
#endif
    while (by_four > 0 && columns[by_four - 1] >= width - 1) by_four--;
    for (i = 0; i < row_count; i++) {
        const uint8_t *source = image + rows[i] * stride;
        uint8_t *line = out + i * column_count * 3;
        if (i > 0 && rows[i] == rows[i - 1]) {
            memcpy(line, line - column_count * 3, (size_t)(column_count * 3));
            continue;
        }
        for (j = 0; j < by_four; j++) {
            uint32_t four;
            memcpy(&four, source + columns[j] * 3, 4);
            memcpy(line + j * 3, &four, 4);
        }
        for (; j < column_count; j++) memcpy(line + j * 3, source + columns[j] * 3, 3);
    }
}

#endif
