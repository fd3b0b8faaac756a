/* Template over the pixel type: FA_PIXEL is the type, FA_NAME(name) the name for it.
 * Included by _pixels.h once for each type. */

/* One sample near or beyond the border: every order and border, one pixel at a time. */
static void FA_NAME(fa_sample)(const FA_PIXEL *FA_RESTRICT image, ptrdiff_t height, ptrdiff_t width,
                               ptrdiff_t channels, int order, int border, float cval, double r,
                               double c, float *FA_RESTRICT out)
{
    ptrdiff_t r0, r1, c0, c1, k;
    if (!fa_fold(&r, height, border) || !fa_fold(&c, width, border)) {
        for (k = 0; k < channels; k++) out[k] = cval;
        return;
    }
    if (order == 0) {
        r0 = fa_tap((ptrdiff_t)floor(r + 0.5), height, border);
        c0 = fa_tap((ptrdiff_t)floor(c + 0.5), width, border);
        for (k = 0; k < channels; k++)
            out[k] = r0 < 0 || c0 < 0 ? cval : (float)image[(r0 * width + c0) * channels + k];
        return;
    }
    {
        const double rf = floor(r), cf = floor(c);
        const float fr = (float)(r - rf), fc = (float)(c - cf);
        r0 = fa_tap((ptrdiff_t)rf, height, border);
        r1 = fa_tap((ptrdiff_t)rf + 1, height, border);
        c0 = fa_tap((ptrdiff_t)cf, width, border);
        c1 = fa_tap((ptrdiff_t)cf + 1, width, border);
        for (k = 0; k < channels; k++) {
#define FA_AT(row, column) \
    ((row) < 0 || (column) < 0 ? cval : (float)image[((row) * width + (column)) * channels + k])
            const float a = FA_AT(r0, c0), b = FA_AT(r0, c1);
            const float d = FA_AT(r1, c0), e = FA_AT(r1, c1);
#undef FA_AT
            const float left = a + fr * (d - a), right = b + fr * (e - b);
            out[k] = left + fc * (right - left);
        }
    }
}

/* Blends the 2 x 2 pixels of each sample, down and then across. */
static void FA_NAME(fa_blend)(const FA_PIXEL *FA_RESTRICT image, const ptrdiff_t channels,
                              const fa_samples *s, ptrdiff_t count, float *FA_RESTRICT out)
{
    ptrdiff_t i, k;
    for (i = 0; i < count; i++) {
        const FA_PIXEL *p = image + s->offset[i], *q = p + s->below;
        const float fr = s->row_weight[i], fc = s->column_weight[i];
        for (k = 0; k < channels; k++) {
            const float a = (float)p[k], b = (float)p[s->right + k];
            const float d = (float)q[k], e = (float)q[s->right + k];
            const float left = a + fr * (d - a), right = b + fr * (e - b);
            out[i * channels + k] = left + fc * (right - left);
        }
    }
}

/* The same, by the best variant that has it. */
static void FA_NAME(fa_blend_best)(const FA_PIXEL *FA_RESTRICT image, ptrdiff_t channels,
                                       const fa_samples *s, ptrdiff_t count, float *FA_RESTRICT out)
{
#ifdef FA_AVX2
    if (fa_simd >= FA_SIMD_AVX2
        && s->furthest + s->below + FA_NAME(fa_reach)(channels) <= s->size) {
        if (fa_simd >= FA_SIMD_AVX512
            && FA_NAME(fa_blend_avx512)(image, channels, s, count, out))
            return;
        if (FA_NAME(fa_blend_avx2)(image, channels, s, count, out)) return;
    }
#endif
    FA_NAME(fa_blend)(image, channels, s, count, out);
}

/* The nearest pixel of each sample. */
static void FA_NAME(fa_pick)(const FA_PIXEL *FA_RESTRICT image, ptrdiff_t channels,
                             const fa_samples *s, ptrdiff_t count, float *FA_RESTRICT out)
{
    ptrdiff_t i, k;
    for (i = 0; i < count; i++)
        for (k = 0; k < channels; k++)
            out[i * channels + k] = (float)image[s->offset[i] + k];
}

/* image -> out, both (height, width, channels); m as in fa_matrix. The flips turn the result. Each
 * row is handed on while it is in the cache. behind: values that may be read behind the image. */
static void FA_NAME(fa_warp)(const fa_plan *plan, const FA_PIXEL *FA_RESTRICT image,
                             ptrdiff_t behind, const double *m, int flip_horizontal, int flip_vertical,
                             fa_row_sink *sink, float *FA_RESTRICT out)
{
    const ptrdiff_t height = plan->height, width = plan->width, channels = plan->channels;
    const int border = plan->border, order = plan->order;
    const int too_large = height * width * channels > INT32_MAX - 8; /* for an offset */
    const int one_by_one = border == FA_GRID_WRAP || border == FA_GRID_CONSTANT || too_large;
    const size_t bytes = (size_t)(height * width * channels) * sizeof(FA_PIXEL);
    const int fetches = bytes > FA_FETCHED_WHOLE;
    const ptrdiff_t ahead = fa_ahead(plan, m) * (ptrdiff_t)sizeof(FA_PIXEL);
    const int folds = fa_folds(border);
    int32_t offsets[FA_BLOCK + FA_CHUNK];
    float row_weights[FA_BLOCK + FA_CHUNK], column_weights[FA_BLOCK + FA_CHUNK];
    fa_samples samples;
    fa_axes axes;
    ptrdiff_t i, j, k;
    fa_set_axes(&axes, plan, m);
    samples.offset = offsets + FA_BLOCK;
    samples.row_weight = row_weights + FA_BLOCK;
    samples.column_weight = column_weights + FA_BLOCK;
    samples.below = height > 1 ? width * channels : 0;
    samples.right = width > 1 ? channels : 0;
    samples.size = height * width * channels + behind;
    if (!fetches) fa_fetch(image, bytes);
    for (i = 0; i < height; i++) {
        const double row = (double)i;
        const double start[2] = {m[2] + m[0] * row, m[5] + m[3] * row};
        float *line = fa_row_line(sink, plan, i, flip_vertical, out);
        ptrdiff_t from = 0, to = width, first = 0, last = width;
        const int near = fa_is_near(plan, start, m);
        if (too_large) {
            to = 0;
        } else if (border != FA_NEAREST || !near) {
            fa_inside(start[0], m[1], (double)(height - 1), &from, &to);
            fa_inside(start[1], m[4], (double)(width - 1), &from, &to);
        }
        if (border == FA_CONSTANT || one_by_one) {
            /* these pixels are not among the samples */
            for (j = 0; j < width; j++) {
                if (j == from && to > from) j = to;
                if (j == width) break;
                FA_NAME(fa_sample)(image, height, width, channels, order, border, plan->cval,
                                   start[0] + m[1] * (double)j, start[1] + m[4] * (double)j,
                                   line + (flip_horizontal ? width - 1 - j : j) * channels);
            }
            first = from;
            last = to;
        }
        if (folds && to - from < FA_WORTH_SPLITTING && to - from < width) from = to = 0;
        for (j = first; j < last;) {
            const int inside = j >= from && j < to;
            const ptrdiff_t end = !folds ? last : j < from ? from : inside ? to : last;
            const ptrdiff_t count = end - j < FA_CHUNK ? end - j : FA_CHUNK;
            float *pixels = line + (flip_horizontal ? width - j - count : j) * channels;
            fa_locate(plan, &axes, start, near, inside, j, count, flip_horizontal, &samples);
            j += count;
            if (fetches)
                for (k = 0; k < count; k += 16)
                    fa_fetch_line((uintptr_t)(image + samples.offset[k]) + (uintptr_t)ahead);
            if (order == 0)
                FA_NAME(fa_pick)(image, channels, &samples, count, pixels);
            else
                FA_NAME(fa_blend_best)(image, channels, &samples, count, pixels);
        }
        fa_row_done(sink, plan, i, flip_vertical, out);
    }
}

/* A row from right to left; a number of channels that is known beforehand makes it fast. */
FA_INLINE void FA_NAME(fa_copy_back)(const FA_PIXEL *FA_RESTRICT source, ptrdiff_t width,
                                     const ptrdiff_t channels, float *FA_RESTRICT line)
{
    ptrdiff_t j, k;
    for (j = 0; j < width; j++)
        for (k = 0; k < channels; k++)
            line[j * channels + k] = (float)source[(width - 1 - j) * channels + k];
}

/* No geometry: convert and flip. */
FA_CLONES static void FA_NAME(fa_copy)(const fa_plan *plan, const FA_PIXEL *FA_RESTRICT image,
                                       int flip_horizontal, int flip_vertical, fa_row_sink *sink,
                                       float *FA_RESTRICT out)
{
    const ptrdiff_t height = plan->height, width = plan->width, channels = plan->channels;
    const ptrdiff_t row_size = width * channels;
    ptrdiff_t i, k;
    for (i = 0; i < height; i++) {
        const FA_PIXEL *source = image + i * row_size;
        float *line = fa_row_line(sink, plan, i, flip_vertical, out);
        if (!flip_horizontal)
            for (k = 0; k < row_size; k++) line[k] = (float)source[k];
        else if (channels == 1)
            FA_NAME(fa_copy_back)(source, width, 1, line);
        else if (channels == 3)
            FA_NAME(fa_copy_back)(source, width, 3, line);
        else
            FA_NAME(fa_copy_back)(source, width, channels, line);
        fa_row_done(sink, plan, i, flip_vertical, out);
    }
}

/* (channels, pixels) to (pixels, channels); three channels are a number that is known beforehand. */
FA_CLONES static void FA_NAME(fa_to_channels_last)(const FA_PIXEL *FA_RESTRICT image,
                                                   ptrdiff_t pixels, ptrdiff_t channels,
                                                   FA_PIXEL *FA_RESTRICT out)
{
    ptrdiff_t i, k;
    if (channels == 3) {
        for (i = 0; i < pixels; i++)
            for (k = 0; k < 3; k++) out[i * 3 + k] = image[k * pixels + i];
        return;
    }
    for (k = 0; k < channels; k++)
        for (i = 0; i < pixels; i++) out[i * channels + k] = image[k * pixels + i];
}

/* (pixels, channels) to (channels, pixels) */
FA_CLONES static void FA_NAME(fa_to_channels_first)(const FA_PIXEL *FA_RESTRICT x, ptrdiff_t pixels,
                                                    ptrdiff_t channels, FA_PIXEL *FA_RESTRICT out)
{
    ptrdiff_t i, k;
    if (channels == 3) {
        for (i = 0; i < pixels; i++)
            for (k = 0; k < 3; k++) out[k * pixels + i] = x[i * 3 + k];
        return;
    }
    for (k = 0; k < channels; k++)
        for (i = 0; i < pixels; i++) out[k * pixels + i] = x[i * channels + k];
}

/* One source image as (height, width, channels), in its own type; turned only if need be. */
static const FA_PIXEL *FA_NAME(fa_channels_last)(const fa_plan *plan, const FA_PIXEL *image,
                                                 void *work)
{
    if (!plan->channels_first) return image;
    FA_NAME(fa_to_channels_last)(image, plan->height * plan->width, plan->channels, work);
    return work;
}

/* The pixels that the coefficients of a spline come from: the image and, if need be, its border. */
FA_CLONES static void FA_NAME(fa_spline_fill)(const fa_spline *s, const fa_plan *plan,
                                              const FA_PIXEL *FA_RESTRICT image)
{
    const ptrdiff_t channels = plan->channels, row_size = plan->width * channels;
    const int repeats = plan->border == FA_NEAREST; /* else the border is the constant */
    ptrdiff_t i, j, k;
    for (i = 0; i < s->height; i++) {
        const ptrdiff_t row = fa_beyond(i - s->padding, plan->height, plan->border);
        const FA_PIXEL *pixels = image + (row < 0 ? 0 : row) * row_size;
        double *left = s->first + i * s->row, *line = left + s->padding * channels;
        double *right = line + row_size;
        for (k = 0; k < row_size; k++) line[k] = row < 0 ? (double)plan->cval : (double)pixels[k];
        for (j = 0; j < s->padding; j++)
            for (k = 0; k < channels; k++) {
                left[j * channels + k] = repeats ? line[k] : (double)plan->cval;
                right[j * channels + k] = repeats ? right[k - channels] : (double)plan->cval;
            }
    }
}
