/* The segments of a JPEG file: whether OpenCV decodes it as Pillow does. No pixels, no memory.
 *
 * Whatever could make Pillow refuse a file, or libjpeg understand it in another way, is left to
 * Pillow: this takes only plain segments and scans, one after the other, from the first byte of the
 * file to the last.
 */
#ifndef FASTAUG_JPEG_H
#define FASTAUG_JPEG_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Second bytes of the markers that matter here. */
enum {
    FA_SOF0 = 0xC0, FA_SOF1 = 0xC1, FA_SOF2 = 0xC2, /* baseline, extended, progressive; Huffman-coded */
    FA_DHT = 0xC4, FA_RST0 = 0xD0, FA_RST7 = 0xD7, FA_SOI = 0xD8, FA_EOI = 0xD9, FA_SOS = 0xDA,
    FA_DQT = 0xDB, FA_DRI = 0xDD, FA_APP0 = 0xE0, FA_APP1 = 0xE1, FA_APP2 = 0xE2, FA_APP13 = 0xED,
    FA_APP14 = 0xEE, FA_APP15 = 0xEF, FA_COM = 0xFE
};

typedef struct {
    int height, width;
    int has_metadata;         /* such as Pillow reads in Python, where it can stumble */
} fa_jpeg;

/* The first marker from an offset on that ends a scan: any but a stuffed zero or a restart. `size` if
 * there is none. */
static size_t fa_after_scan(const uint8_t *data, size_t size, size_t at)
{
    while (at + 1 < size) {
        const uint8_t *found = memchr(data + at, 0xFF, size - 1 - at);
        if (!found) break;
        if (found[1] != 0 && !(found[1] >= FA_RST0 && found[1] <= FA_RST7))
            return (size_t)(found - data);
        at = (size_t)(found - data) + 2;
    }
    return size;
}

/* The bytes of a file; most_pixels: above it Pillow warns or raises; negative: no limit. Returns 0 if
 * Pillow has to decode these bytes. */
static int fa_read_jpeg(const uint8_t *data, size_t size, int64_t most_pixels, fa_jpeg *jpeg)
{
    int has_frame = 0, progressive = 0;
    size_t at = 2;
    jpeg->height = jpeg->width = jpeg->has_metadata = 0;
    if (size < 2 || data[0] != 0xFF || data[1] != FA_SOI) return 0;
    for (;;) {
        const uint8_t *p = data + at;
        uint8_t marker;
        size_t length, end;
        if (at + 2 > size || p[0] != 0xFF) return 0;
        marker = p[1];
        /* A file that does not end here may be cut short, or have something else after it. */
        if (marker == FA_EOI) return has_frame && at + 2 == size;
        if (at + 4 > size) return 0;
        length = (size_t)p[2] << 8 | p[3];
        end = at + 2 + length;
        if (length < 2 || end > size) return 0;
        if (marker >= FA_APP0 && marker <= FA_APP15) {
            /* Several pictures in one file: Pillow has its own reader for those. */
            if (marker == FA_APP2 && length >= 6 && !memcmp(p + 4, "MPF", 4)) return 0;
            /* The short ones are cut off before fields that Pillow takes for granted. */
            if (marker == FA_APP1 || marker == FA_APP13
                || length < (marker == FA_APP14 ? 14 : 16))
                jpeg->has_metadata = 1;
        } else if (marker == FA_DQT) {
            if ((length - 2) % 65) return 0; /* whole tables of 8-bit values only */
        } else if (marker == FA_SOF0 || marker == FA_SOF1 || marker == FA_SOF2) {
            if (length < 8 || length != 8 + 3 * (size_t)p[9]) return 0;
            if (p[4] != 8 || (p[9] != 1 && p[9] != 3)) return 0;
            jpeg->height = p[5] << 8 | p[6];
            jpeg->width = p[7] << 8 | p[8];
            if (most_pixels >= 0 && (int64_t)jpeg->height * jpeg->width > most_pixels) return 0;
            has_frame = 1;
            progressive = marker == FA_SOF2;
        } else if (marker == FA_SOS) {
            /* On to the marker after the scan. Unless the JPEG is progressive, that is its end: a
             * second scan makes Pillow raise or not, by what is in it. */
            end = fa_after_scan(data, size, end);
            if (end == size || (!progressive && data[end + 1] != FA_EOI)) return 0;
        } else if (marker != FA_DHT && marker != FA_DRI && marker != FA_COM) {
            return 0;
        }
        at = end;
    }
}

#endif
