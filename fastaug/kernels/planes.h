/* Pixels of three bytes to blocks of each channel's, and back. */
#ifndef FASTAUG_PLANES_H
#define FASTAUG_PLANES_H

#include <stddef.h>
#include <stdint.h>

#include "platform.h"
#include "simd.h"

#define FA_PIXEL_BLOCK 64  /* pixels in a block */

#ifdef FA_AVX2
/* Shuffles of sixteen pixels: which bytes of each third go into a channel; 128 makes 0. */
static const uint8_t fa_split_order[3][3][16] = {
    {{0, 3, 6, 9, 12, 15, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128},
     {128, 128, 128, 128, 128, 128, 2, 5, 8, 11, 14, 128, 128, 128, 128, 128},
     {128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 1, 4, 7, 10, 13}},
    {{1, 4, 7, 10, 13, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128},
     {128, 128, 128, 128, 128, 0, 3, 6, 9, 12, 15, 128, 128, 128, 128, 128},
     {128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 2, 5, 8, 11, 14}},
    {{2, 5, 8, 11, 14, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128},
     {128, 128, 128, 128, 128, 1, 4, 7, 10, 13, 128, 128, 128, 128, 128, 128},
     {128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 0, 3, 6, 9, 12, 15}},
};

/* And which of each channel go into a third. */
static const uint8_t fa_join_order[3][3][16] = {
    {{0, 128, 128, 1, 128, 128, 2, 128, 128, 3, 128, 128, 4, 128, 128, 5},
     {128, 0, 128, 128, 1, 128, 128, 2, 128, 128, 3, 128, 128, 4, 128, 128},
     {128, 128, 0, 128, 128, 1, 128, 128, 2, 128, 128, 3, 128, 128, 4, 128}},
    {{128, 128, 6, 128, 128, 7, 128, 128, 8, 128, 128, 9, 128, 128, 10, 128},
     {5, 128, 128, 6, 128, 128, 7, 128, 128, 8, 128, 128, 9, 128, 128, 10},
     {128, 5, 128, 128, 6, 128, 128, 7, 128, 128, 8, 128, 128, 9, 128, 128}},
    {{128, 11, 128, 128, 12, 128, 128, 13, 128, 128, 14, 128, 128, 15, 128, 128},
     {128, 128, 11, 128, 128, 12, 128, 128, 13, 128, 128, 14, 128, 128, 15, 128},
     {10, 128, 128, 11, 128, 128, 12, 128, 128, 13, 128, 128, 14, 128, 128, 15}},
};

/* Three vectors of what an order takes from three others, in each half. */
FA_INLINE FA_TARGET_AVX2 void fa_shuffle_three(const uint8_t (*order)[3][16], const __m256i *from,
                                               __m256i *to)
{
    int a, b;
    for (a = 0; a < 3; a++) {
        to[a] = _mm256_setzero_si256();
        for (b = 0; b < 3; b++) {
            const __m256i places = _mm256_broadcastsi128_si256(
                _mm_loadu_si128((const __m128i *)(const void *)order[a][b]));
            to[a] = _mm256_or_si256(to[a], _mm256_shuffle_epi8(from[b], places));
        }
    }
}

/* Thirty-two pixels as a vector of each channel's bytes. */
FA_INLINE FA_TARGET_AVX2 void fa_split_pixels(const uint8_t *x, __m256i *channels)
{
    __m256i thirds[3];
    int k;
    for (k = 0; k < 3; k++)
        thirds[k] = _mm256_inserti128_si256(
            _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(x + 16 * k))),
            _mm_loadu_si128((const __m128i *)(const void *)(x + 48 + 16 * k)), 1);
    fa_shuffle_three(fa_split_order, thirds, channels);
}

FA_INLINE FA_TARGET_AVX2 void fa_join_pixels(const __m256i *channels, uint8_t *x)
{
    __m256i thirds[3];
    int k;
    fa_shuffle_three(fa_join_order, channels, thirds);
    for (k = 0; k < 3; k++) {
        _mm_storeu_si128((__m128i *)(void *)(x + 16 * k), _mm256_castsi256_si128(thirds[k]));
        _mm_storeu_si128((__m128i *)(void *)(x + 48 + 16 * k), _mm256_extracti128_si256(thirds[k], 1));
    }
}

FA_TARGET_AVX2 static void fa_split_avx2(const uint8_t *x, uint8_t (*channel)[FA_PIXEL_BLOCK])
{
    int i, k;
    for (i = 0; i < FA_PIXEL_BLOCK; i += 32) {
        __m256i channels[3];
        fa_split_pixels(x + 3 * i, channels);
        for (k = 0; k < 3; k++)
            _mm256_storeu_si256((__m256i *)(void *)(channel[k] + i), channels[k]);
    }
}

FA_TARGET_AVX2 static void fa_join_avx2(const uint8_t (*channel)[FA_PIXEL_BLOCK], uint8_t *x)
{
    int i, k;
    for (i = 0; i < FA_PIXEL_BLOCK; i += 32) {
        __m256i channels[3];
        for (k = 0; k < 3; k++)
            channels[k] = _mm256_loadu_si256((const __m256i *)(const void *)(channel[k] + i));
        fa_join_pixels(channels, x + 3 * i);
    }
}
#endif

/* count: Pixels, at most a block. */
#define FA_PLANES(name, kind, split_best, join_best) \
    static void fa_split_##name(const kind *x, ptrdiff_t count, kind (*channel)[FA_PIXEL_BLOCK]) \
    { \
        ptrdiff_t i; \
        split_best \
        for (i = 0; i < count; i++) { \
            channel[0][i] = x[3 * i]; \
            channel[1][i] = x[3 * i + 1]; \
            channel[2][i] = x[3 * i + 2]; \
        } \
    } \
    static void fa_join_##name(const kind (*channel)[FA_PIXEL_BLOCK], ptrdiff_t count, kind *x) \
    { \
        ptrdiff_t i; \
        join_best \
        for (i = 0; i < count; i++) { \
            x[3 * i] = channel[0][i]; \
            x[3 * i + 1] = channel[1][i]; \
            x[3 * i + 2] = channel[2][i]; \
        } \
    }

#ifdef FA_AVX2
#define FA_BEST(call) \
    if (fa_simd >= FA_SIMD_AVX2 && count == FA_PIXEL_BLOCK) { \
        call; \
        return; \
    }
#else
#define FA_BEST(call)
#endif

FA_PLANES(bytes, uint8_t, FA_BEST(fa_split_avx2(x, channel)), FA_BEST(fa_join_avx2(channel, x)))
FA_PLANES(floats, float, , )
#undef FA_BEST
#undef FA_PLANES

#endif
