/* Shifts, brightness, normalization: what happens to values wherever they lie. Part of _pixels.h. */

/* ---- values, in place on float32 ------------------------------------------------------------- */

/* NaN goes into both, as in NumPy. */
static void fa_add_extrema(const float *FA_RESTRICT x, ptrdiff_t size, float *FA_RESTRICT low,
                           float *FA_RESTRICT high)
{
    int odd = 0;
    ptrdiff_t i = 0;
#ifdef FA_AVX2
    if (fa_simd >= FA_SIMD_AVX2) {
        odd = fa_extrema_avx2(x, size, low, high);
        i = size - size % FA_LANES;
    }
#endif
    for (; i < size; i++) {
        float *lo = low + i % FA_LANES, *hi = high + i % FA_LANES;
        *lo = x[i] < *lo ? x[i] : *lo;
        *hi = x[i] > *hi ? x[i] : *hi;
        odd |= x[i] != x[i];
    }
    if (odd) low[0] = high[0] = NAN; /* and stays: nothing compares with it */
}

static void fa_extrema_of(const fa_row_sink *sink, float *low, float *high)
{
    int k;
    *low = sink->low[0];
    *high = sink->high[0];
    for (k = 1; k < FA_LANES; k++) {
        *low = sink->low[k] < *low ? sink->low[k] : *low;
        *high = sink->high[k] > *high ? sink->high[k] : *high;
    }
}

/* One intensity for all channels, clipped to the image's own range; then a factor. */
FA_CLONES static void fa_channel_shift(float *FA_RESTRICT x, ptrdiff_t size, float intensity,
                                       float low, float high, float factor)
{
    ptrdiff_t i;
    for (i = 0; i < size; i++) {
        float v = x[i] + intensity;
        v = v < low ? low : v;
        v = v > high ? high : v;
        x[i] = v * factor;
    }
    if (isnan(low))
        for (i = 0; i < size; i++) x[i] = low;
}

/* What becomes of a level: a blend with black in float32, truncated and clipped. */
FA_INLINE int fa_brightened(double factor, int level)
{
    const float blend = (float)factor * (float)level;
    /* an infinite factor times 0 is NaN */
    return blend > 0 ? (blend < 255 ? (int)blend : 255) : 0;
}

/* Pillow's ImageEnhance.Brightness on the truncated image; an alpha channel keeps its value. An image
 * outside 0..255 is stretched to 0..255 before and back afterwards, as Keras does. */
FA_CLONES static void fa_brightness(float *FA_RESTRICT x, ptrdiff_t size, ptrdiff_t channels,
                                    double factor, float low, float high)
{
    float table[256];
    ptrdiff_t i;
    int v, stretch;
    for (v = 0; v < 256; v++) table[v] = (float)fa_brightened(factor, v);
    stretch = low < 0 || high > 255;
    if (stretch) {
        const float range = high - low;
        for (i = 0; i < size; i++) {
            float u = x[i] - low;
            if (range != 0) u /= range;
            x[i] = u * 255;
        }
    }
    for (i = 0; i < size; i++) {
        /* NaN and anything else outside cannot index the table */
        const int level = x[i] > 0 ? (x[i] < 255 ? (int)x[i] : 255) : 0;
        x[i] = channels == 4 && i % 4 == 3 ? (float)level : table[level];
    }
    if (stretch)
        for (i = 0; i < size; i++) x[i] = x[i] / 255 * (high - low) + low;
}

FA_CLONES static double fa_sum(const float *FA_RESTRICT x, ptrdiff_t size)
{
    double lane[FA_LANES] = {0}, total = 0;
    ptrdiff_t i = 0;
    int k;
    for (; i + FA_LANES <= size; i += FA_LANES)
        for (k = 0; k < FA_LANES; k++) lane[k] += (double)x[i + k];
    for (; i < size; i++) total += (double)x[i];
    for (k = 0; k < FA_LANES; k++) total += lane[k];
    return total;
}

FA_CLONES static double fa_sum_squares(const float *FA_RESTRICT x, ptrdiff_t size, float mean)
{
    double lane[FA_LANES] = {0}, total = 0;
    ptrdiff_t i = 0;
    int k;
    for (; i + FA_LANES <= size; i += FA_LANES)
        for (k = 0; k < FA_LANES; k++) {
            const double d = (double)(x[i + k] - mean);
            lane[k] += d * d;
        }
    for (; i < size; i++) {
        const double d = (double)(x[i] - mean);
        total += d * d;
    }
    for (k = 0; k < FA_LANES; k++) total += lane[k];
    return total;
}

/* x = (x - offset) * scale */
FA_CLONES static void fa_normalize(float *FA_RESTRICT x, ptrdiff_t size, float offset, float scale)
{
    ptrdiff_t i;
    for (i = 0; i < size; i++) x[i] = (x[i] - offset) * scale;
}

#define FA_PATTERN 48 /* values: vectors of any length begin with the same of 1, 2, 3 or 4 channels */

/* Repeats the values of the channels; NULL: the same value for all. */
FA_INLINE void fa_repeat(const float *values, ptrdiff_t channels, float otherwise, float *pattern)
{
    int k;
    for (k = 0; k < FA_PATTERN; k++) pattern[k] = values ? values[k % channels] : otherwise;
}

/* Makes each x[i] of (pixels, channels) the result of an operation on it with a p and a q, of which
 * there is one for each channel, or the same for all where p or q is NULL. */
#define FA_BY_CHANNEL(operation, p, no_p, q, no_q) { \
        float ps[FA_PATTERN], qs[FA_PATTERN]; \
        ptrdiff_t i = 0; \
        int k; \
        if (FA_PATTERN % channels == 0) { \
            fa_repeat(p, channels, no_p, ps); \
            fa_repeat(q, channels, no_q, qs); \
            for (; i + FA_PATTERN <= size; i += FA_PATTERN) \
                for (k = 0; k < FA_PATTERN; k++) x[i + k] = operation(x[i + k], ps[k], qs[k]); \
        } \
        for (; i < size; i += channels) \
            for (k = 0; k < channels; k++) \
                x[i + k] = operation(x[i + k], p ? p[k] : no_p, q ? q[k] : no_q); \
    }

/* The same with a value for each channel of (pixels, channels); either may be NULL. */
FA_CLONES static void fa_normalize_channels(float *FA_RESTRICT x, ptrdiff_t pixels,
                                            ptrdiff_t channels, const float *mean,
                                            const float *scale)
{
    const ptrdiff_t size = pixels * channels;
#define FA_NORMALIZED(v, mean, scale) (((v) - (mean)) * (scale))
    FA_BY_CHANNEL(FA_NORMALIZED, mean, 0, scale, 1)
#undef FA_NORMALIZED
}

/* x = x * scale + offset with values for each channel of (pixels, channels). */
FA_CLONES static void fa_map_channels(float *FA_RESTRICT x, ptrdiff_t size, ptrdiff_t channels,
                                      const float *scale, const float *offset)
{
#define FA_MAPPED(v, scale, offset) ((v) * (scale) + (offset))
    FA_BY_CHANNEL(FA_MAPPED, scale, 1, offset, 0)
#undef FA_MAPPED
}

#undef FA_BY_CHANNEL

/* The function that comes before standardization, on whole pixels. */
static void fa_apply_function(const fa_plan *plan, float *x, ptrdiff_t size)
{
    const ptrdiff_t channels = plan->channels;
    ptrdiff_t i, k;
    if (plan->function_reverses)
        for (i = 0; i < size; i += channels)
            for (k = 0; k < channels / 2; k++) {
                const float first = x[i + k];
                x[i + k] = x[i + channels - 1 - k];
                x[i + channels - 1 - k] = first;
            }
    fa_map_channels(x, size, channels, plan->function_scale, plan->function_offset);
}

/* ---- values, as bytes ------------------------------------------------------------------------ */

/* Clipped and truncated; half: 0.5 to round as scipy.ndimage does, or 0. NaN becomes 0, and so does
 * -1 to 0 in either case. */
static void fa_store_bytes(const float *FA_RESTRICT x, ptrdiff_t size, float half,
                           uint8_t *FA_RESTRICT out)
{
    ptrdiff_t i = 0;
#ifdef FA_AVX2
    if (fa_simd >= FA_SIMD_AVX2) i = fa_store_bytes_avx2(x, size, half, out);
#endif
    for (; i < size; i++) {
        const float v = x[i] + half;
        out[i] = (uint8_t)(v > 0 ? v < 255 ? (int)v : 255 : 0);
    }
}

FA_CLONES static void fa_extrema_of_bytes(const uint8_t *FA_RESTRICT x, ptrdiff_t size, uint8_t *low,
                                          uint8_t *high)
{
    uint8_t lo = 255, hi = 0;
    ptrdiff_t i;
    for (i = 0; i < size; i++) {
        lo = x[i] < lo ? x[i] : lo;
        hi = x[i] > hi ? x[i] : hi;
    }
    *low = lo;
    *high = hi;
}

/* fa_channel_shift of levels within low and high, truncated: as they are whole, by whole levels. */
FA_CLONES static void fa_shift_bytes(uint8_t *FA_RESTRICT x, ptrdiff_t size, double intensity,
                                     uint8_t low, uint8_t high)
{
    const double range = high - low;
    /* rounded as the sum is; clipped before, so that no byte overflows */
    const double levels =
        floor(255 + (intensity < range ? intensity > -range ? intensity : -range : range)) - 255;
    ptrdiff_t i;
    if (levels >= 0) {
        const uint8_t up = (uint8_t)levels, last = (uint8_t)(high - up);
        for (i = 0; i < size; i++) x[i] = (uint8_t)((x[i] < last ? x[i] : last) + up);
    } else {
        const uint8_t down = (uint8_t)-levels, first = (uint8_t)(low + down);
        for (i = 0; i < size; i++) x[i] = (uint8_t)((x[i] > first ? x[i] : first) - down);
    }
}

/* The same, unless the intensity is NaN, and then fa_brightness: Pillow is given float32. */
FA_CLONES static void fa_brighten_bytes(uint8_t *FA_RESTRICT x, ptrdiff_t size, ptrdiff_t channels,
                                        double factor, double intensity, uint8_t low, uint8_t high)
{
    uint8_t shifted[256], table[256];
    ptrdiff_t i;
    int k;
    for (k = 0; k < 256; k++) {
        double v = k;
        if (!isnan(intensity)) {
            v += intensity;
            v = v < low ? low : v;
            v = v > high ? high : v;
        }
        shifted[k] = (uint8_t)(float)v;
        table[k] = (uint8_t)fa_brightened(factor, shifted[k]);
    }
    if (channels != 4) {
        for (i = 0; i < size; i++) x[i] = table[x[i]];
        return;
    }
    for (i = 0; i < size; i++) x[i] = i % 4 == 3 ? shifted[x[i]] : table[x[i]];
}

/* ---- values of any float, as NumPy does it ------------------------------------------------------ */

enum fa_operation { FA_MULTIPLY, FA_SUBTRACT, FA_DIVIDE };

#define FA_SAME(v) (v)

/* Makes each value of an array the result of an operation on it and one of `count` others, of which each
 * is for `inner` values next to each other, `outer` times over. Rounded once, as in NumPy. */
#define FA_COMBINE_BY(load, store, sign) \
    if (count == 1) { \
        const ptrdiff_t size = outer * inner; \
        /* vectors that lie across two lines of the cache take twice as long */ \
        for (; i < size && (uintptr_t)(x + i) % FA_LINE; i++) x[i] = store(load(x[i]) sign values[0]); \
        for (; i < size; i++) x[i] = store(load(x[i]) sign values[0]); \
    } else if (inner == 1) { \
        if (FA_PATTERN % count == 0) { \
            for (k = 0; k < FA_PATTERN; k++) pattern[k] = values[k % count]; \
            for (; i + FA_PATTERN <= outer * count; i += FA_PATTERN) \
                for (k = 0; k < FA_PATTERN; k++) x[i + k] = store(load(x[i + k]) sign pattern[k]); \
        } \
        for (; i < outer * count; i++) x[i] = store(load(x[i]) sign values[i % count]); \
    } else { \
        for (k = 0; k < outer * count; k++) \
            for (i = 0; i < inner; i++) \
                x[k * inner + i] = store(load(x[k * inner + i]) sign values[k % count]); \
    }

#define FA_COMBINE(name, kind, number, load, store) \
    FA_CLONES static void name(kind *FA_RESTRICT x, ptrdiff_t outer, ptrdiff_t count, \
                               ptrdiff_t inner, const number *FA_RESTRICT values, int operation) \
    { \
        number pattern[FA_PATTERN]; \
        ptrdiff_t i = 0, k; \
        if (operation == FA_MULTIPLY) { \
            FA_COMBINE_BY(load, store, *) \
        } else if (operation == FA_SUBTRACT) { \
            FA_COMBINE_BY(load, store, -) \
        } else { \
            FA_COMBINE_BY(load, store, /) \
        } \
    }

FA_COMBINE(fa_combine_floats, float, float, FA_SAME, FA_SAME)
FA_COMBINE(fa_combine_doubles, double, double, FA_SAME, FA_SAME)
FA_COMBINE(fa_combine_halves, uint16_t, float, fa_float_of_half, fa_half_of_float)

#undef FA_COMBINE
#undef FA_COMBINE_BY
#undef FA_SAME

/* fa_sum and fa_sum_squares of doubles. */
FA_CLONES static double fa_sum_doubles(const double *FA_RESTRICT x, ptrdiff_t size)
{
    double lane[FA_LANES] = {0}, total = 0;
    ptrdiff_t i = 0;
    int k;
    for (; i + FA_LANES <= size; i += FA_LANES)
        for (k = 0; k < FA_LANES; k++) lane[k] += x[i + k];
    for (; i < size; i++) total += x[i];
    for (k = 0; k < FA_LANES; k++) total += lane[k];
    return total;
}

FA_CLONES static double fa_sum_square_doubles(const double *FA_RESTRICT x, ptrdiff_t size,
                                              double mean)
{
    double lane[FA_LANES] = {0}, total = 0;
    ptrdiff_t i = 0;
    int k;
    for (; i + FA_LANES <= size; i += FA_LANES)
        for (k = 0; k < FA_LANES; k++) lane[k] += (x[i + k] - mean) * (x[i + k] - mean);
    for (; i < size; i++) total += (x[i] - mean) * (x[i] - mean);
    for (k = 0; k < FA_LANES; k++) total += lane[k];
    return total;
}

/* ---- values of any type, moved ------------------------------------------------------------------- */

FA_INLINE void fa_swap(char *a, char *b, const size_t bytes)
{
    char kept[64];
    memcpy(kept, a, bytes);
    memcpy(a, b, bytes);
    memcpy(b, kept, bytes);
}

/* Turns rows of pixels of some bytes round; a number that is known beforehand makes it fast. */
FA_INLINE void fa_turn_rows(char *image, ptrdiff_t height, ptrdiff_t width, const ptrdiff_t bytes)
{
    ptrdiff_t i, j, k, part;
    for (i = 0; i < height; i++, image += width * bytes)
        for (j = 0, k = width - 1; j < k; j++, k--)
            for (part = 0; part < bytes; part += 64)
                fa_swap(image + j * bytes + part, image + k * bytes + part,
                        (size_t)(bytes - part < 64 ? bytes - part : 64));
}

/* Turns an image round in its place: height x width pixels of some bytes each. */
static void fa_flip(char *image, ptrdiff_t height, ptrdiff_t width, ptrdiff_t bytes, int horizontal,
                    int vertical)
{
    const ptrdiff_t row = width * bytes;
    ptrdiff_t i, k, part;
    if (horizontal) {
        switch (bytes) {
        case 1: fa_turn_rows(image, height, width, 1); break;
        case 2: fa_turn_rows(image, height, width, 2); break;
        case 3: fa_turn_rows(image, height, width, 3); break;
        case 4: fa_turn_rows(image, height, width, 4); break;
        case 6: fa_turn_rows(image, height, width, 6); break;
        case 8: fa_turn_rows(image, height, width, 8); break;
        case 12: fa_turn_rows(image, height, width, 12); break;
        case 24: fa_turn_rows(image, height, width, 24); break;
        default: fa_turn_rows(image, height, width, bytes);
        }
    }
    if (!vertical) return;
    for (i = 0, k = height - 1; i < k; i++, k--)
        for (part = 0; part < row; part += 64)
            fa_swap(image + i * row + part, image + k * row + part,
                    (size_t)(row - part < 64 ? row - part : 64));
}

/* Copies an array of any strides, of elements of some bytes; see fa_gather. */
FA_INLINE void fa_gather_by(const char *source, const ptrdiff_t *shape, const ptrdiff_t *strides,
                            const ptrdiff_t bytes, char *FA_RESTRICT out)
{
    ptrdiff_t i, j, k;
    for (i = 0; i < shape[0]; i++)
        for (j = 0; j < shape[1]; j++) {
            const char *p = source + i * strides[0] + j * strides[1];
            for (k = 0; k < shape[2]; k++, p += strides[2], out += bytes)
                memcpy(out, p, (size_t)bytes);
        }
}

/* An array of rank 3, of any strides, into one that lies in one piece elsewhere. */
static void fa_gather(const char *source, const ptrdiff_t *shape, const ptrdiff_t *strides,
                      ptrdiff_t bytes, char *FA_RESTRICT out)
{
    /* what lies in one piece anyway is one element, a pixel or a row */
    ptrdiff_t whole[3] = {shape[0], shape[1], shape[2]}, steps[3] = {strides[0], strides[1], strides[2]};
    int k;
    for (k = 0; k < 2 && steps[2] == bytes; k++) {
        bytes *= whole[2];
        whole[2] = whole[1];
        steps[2] = steps[1];
        whole[1] = k == 0 ? whole[0] : 1;
        steps[1] = k == 0 ? steps[0] : 0;
        whole[0] = 1;
        steps[0] = 0;
    }
    switch (bytes) {
    case 1: fa_gather_by(source, whole, steps, 1, out); break;
    case 2: fa_gather_by(source, whole, steps, 2, out); break;
    case 3: fa_gather_by(source, whole, steps, 3, out); break;
    case 4: fa_gather_by(source, whole, steps, 4, out); break;
    case 6: fa_gather_by(source, whole, steps, 6, out); break;
    case 8: fa_gather_by(source, whole, steps, 8, out); break;
    case 12: fa_gather_by(source, whole, steps, 12, out); break;
    case 24: fa_gather_by(source, whole, steps, 24, out); break;
    default: fa_gather_by(source, whole, steps, bytes, out);
    }
}
