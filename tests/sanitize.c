/* Drives the pixel loops over edge cases, for a compiler's sanitizers; test_sanitize.py builds it.
 *
 * Every block has exactly the size that the loops are promised. It lies on the heap, where
 * AddressSanitizer sees each access that it instruments, or up against a page that faults, because it
 * does not instrument gathers and some other vector loads. The same cases say whether every SIMD
 * variant gives the bits of the plain one. Fixed sweeps and a fixed seed: the same cases each time. A
 * number as the argument is for a slow processor: one of so many cases is run.
 */
#include <float.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "../fastaug/kernels/jpeg.h"
#include "../fastaug/kernels/pick.h"
#include "../fastaug/kernels/resample.h"
#include "../fastaug/kernels/run.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const char *const BORDERS[] = {
    "nearest", "reflect", "mirror", "grid-wrap", "wrap", "constant", "grid-constant"};

/* Around the vectors' widths, the blocks of 16 and, at times, the chunks of 320. */
static const int SIDES[] = {
    1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14,  15,  16,
    17, 18, 19, 20, 31, 32, 33, 34, 63, 64, 65, 66, 127, 128, 129, 130};

static const double SPECIAL[] = {
    0, -0.0, 5e-324, 1e-300, 0.5, -1, 2, -2, 2.0000001, 1 << 20, -(1 << 20), 2147483647.0,
    2147483648.0, -2147483649.0, 1e9, -1e9, 1e18, -1e18, 1e300, -1e300, DBL_MAX, INFINITY, -INFINITY,
    NAN};

/* ---- numbers ----------------------------------------------------------------------------------- */

static uint64_t seed = 1;

static uint64_t draw_bits(void)
{
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int draw(int n) { return (int)(draw_bits() % (uint64_t)n); }
static double between(double a, double b) { return a + (b - a) * (double)draw(1 << 20) / (1 << 20); }
#define ONE_OF(array) ((array)[draw(COUNT(array))])

/* ---- memory ------------------------------------------------------------------------------------ */

enum { HEAP, TO_THE_END, FROM_THE_START, PLACES };
enum {
    SOURCE, OUT, EXPECTED, BEFORE, WORK, MEAN, SCALE, FACTORS, OFFSETS, INDEX, TABLE, TRANSFORMS, ROWS,
    COLUMNS, OTHERS, ROLES = OTHERS + 4
};

#define ARENA (1 << 17)

static char *arenas[ROLES];
static void *heap_blocks[ROLES];

/* Memory between two pages that fault, for each role. */
static void open_arenas(void)
{
    const size_t fence = 1 << 16;
    int role;
    for (role = 0; role < ROLES; role++) {
        char *p = mmap(NULL, ARENA + 2 * fence, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || mprotect(p + fence, ARENA, PROT_READ | PROT_WRITE)) {
            perror("mmap");
            exit(2);
        }
        arenas[role] = p + fence;
    }
}

/* The block of a role, instead of the one before. */
static void *take(int role, size_t bytes, int place)
{
    free(heap_blocks[role]);
    heap_blocks[role] = NULL;
    if (place == HEAP || bytes > ARENA) {
        void *p = heap_blocks[role] = malloc(bytes);
        if (!p && bytes) exit(2);
        return p;
    }
    return place == TO_THE_END ? arenas[role] + ARENA - bytes : arenas[role];
}

static void fill(void *block, ptrdiff_t count, int is_float, int wild)
{
    static const float odd[] = {0, -0.0f, -1, 256, 255, 1e-40f, 3e38f, -3e38f, INFINITY, -INFINITY, NAN};
    static const int kinds[] = {0, 2, 5, COUNT(odd)};
    ptrdiff_t i;
    for (i = 0; i < count; i++)
        if (!is_float)
            ((uint8_t *)block)[i] = (uint8_t)draw_bits();
        else if (wild && draw(16) == 0)
            ((float *)block)[i] = odd[draw(kinds[wild])];
        else
            ((float *)block)[i] = (float)draw(1 << 16) / 256;
}

/* ---- a case ------------------------------------------------------------------------------------ */

static struct {
    const char *what;
    fa_form form;
    fa_sampler sampler;
    int rescales, sample_center, sample_std, reverses_channels;
    float rescale;
    const float *mean, *scale;      /* of features */
    const float *factors, *offsets; /* of a function */
    int is_float, standardize, place, wild;
    ptrdiff_t height, width, gap;   /* of the source; values between its rows */
    ptrdiff_t padding;
    double row[FA_COLUMNS], m[6];
} the;

static fa_step steps[8];

static fa_step *add_step(fa_program *program, int op)
{
    fa_step *step = &steps[program->count++];
    memset(step, 0, sizeof *step);
    step->op = &fa_ops[op];
    return step;
}

/* The program of the case. */
static const fa_program *program(void)
{
    static fa_program made;
    fa_step *step;
    memset(&made, 0, sizeof made);
    made.form = the.form;
    made.sampler = the.sampler;
    made.steps = steps;
    made.columns = FA_COLUMNS;
    add_step(&made, FA_CHANNEL_SHIFT_OP)->column = FA_CHANNEL_SHIFT;
    add_step(&made, FA_BRIGHTNESS_OP)->column = FA_BRIGHTNESS;
    made.standardization = made.count;
    if (the.factors) {
        step = add_step(&made, FA_LINEAR_OP);
        step->scale = the.factors;
        step->offset = the.offsets;
        step->reverses_channels = the.reverses_channels;
    }
    made.after_function = made.count;
    if (the.rescales) add_step(&made, FA_RESCALE_OP)->factor = the.rescale;
    if (the.sample_center) add_step(&made, FA_SAMPLE_CENTER_OP);
    if (the.sample_std) add_step(&made, FA_SAMPLE_STD_OP);
    if (the.mean || the.scale) {
        step = add_step(&made, FA_NORMALIZE_OP);
        step->offset = the.mean;
        step->scale = the.scale;
    }
    return &made;
}

/* The source of the case, in memory. */
static fa_image source_at(const void *data)
{
    fa_image image = {data, the.height, the.width, 0, the.padding, the.is_float ? FA_FLOAT32 : FA_UINT8};
    image.row = the.width * (the.form.channels_first ? 1 : the.form.channels) + the.gap;
    return image;
}

/* Values from the first of the source to its end. */
static ptrdiff_t extent_of_source(void)
{
    const fa_image image = source_at(NULL);
    return fa_image_extent(&image, &the.form);
}

static long cases;
static long every = 1;

/* Counts a case; returns whether it is one that is left out. */
static int is_left_out(void) { return cases++ % every != 0; }

static void describe(void)
{
    const fa_form *form = &the.form;
    int k;
    fprintf(stderr, "case %ld, %s, %s: %td x %td and %td of %s to %td x %td x %td %s%s, order %d, %s, "
            "cval %g, channels_first %d, padding %td, memory %d\n",
            cases, the.what, fa_variant_names[fa_simd], the.height, the.width, the.gap,
            the.is_float ? "float32" : "uint8", form->height, form->width, form->channels,
            form->is_bytes ? "uint8" : "float32", form->truncates ? ", truncated" : "",
            the.sampler.order, BORDERS[the.sampler.border], (double)the.sampler.cval,
            form->channels_first, the.padding, the.place);
    fprintf(stderr, "  function %d, rescales %d by %g, center %d, std %d, mean %d, scale %d, "
            "standardize %d\n  row",
            the.factors != NULL, the.rescales, (double)the.rescale, the.sample_center, the.sample_std,
            the.mean != NULL, the.scale != NULL, the.standardize);
    for (k = 0; k < FA_COLUMNS; k++) fprintf(stderr, " %.17g", the.row[k]);
    fprintf(stderr, "\n  matrix");
    for (k = 0; k < 6; k++) fprintf(stderr, " %.17g", the.m[k]);
    fprintf(stderr, "\n");
}

static ptrdiff_t size_of_image(void) { return fa_form_size(&the.form); }

static size_t size_of_value(void) { return the.is_float ? sizeof(float) : 1; }
static size_t size_of_result(void) { return the.form.is_bytes ? 1 : sizeof(float); }

static void compare_bytes(const uint8_t *out, const uint8_t *expected, ptrdiff_t count)
{
    ptrdiff_t i;
    for (i = 0; i < count; i++) {
        if (out[i] == expected[i]) continue;
        fprintf(stderr, "byte %td: %d where the plain variant has %d\n", i, out[i], expected[i]);
        describe();
        exit(1);
    }
}

/* NaN equals NaN. What no variant writes differs too, since each finds other bytes there. */
static void compare(const float *out, const float *expected, ptrdiff_t count)
{
    ptrdiff_t i;
    if (memcmp(out, expected, (size_t)count * sizeof(float)) == 0) return;
    for (i = 0; i < count; i++) {
        if (memcmp(out + i, expected + i, sizeof(float)) == 0) continue;
        if (isnan(out[i]) && isnan(expected[i])) continue;
        fprintf(stderr, "value %td: %.9g where the plain variant has %.9g\n", i, (double)out[i],
                (double)expected[i]);
        describe();
        exit(1);
    }
}

/* Without a second variant the plain one runs twice. */
static int runs(void) { return fa_best_simd() > 0 ? fa_best_simd() + 1 : 2; }

/* Selects a variant and fills blocks with what belongs to this run alone. */
static void *begin(int run, ptrdiff_t count, float **work, ptrdiff_t work_count)
{
    const int byte = 0x5a + run;
    void *out = take(run ? OUT : EXPECTED, (size_t)count * size_of_result(), the.place);
    memset(out, byte, (size_t)count * size_of_result());
    *work = NULL;
    if (work_count) {
        *work = take(WORK, (size_t)work_count * sizeof(float), the.place);
        memset(*work, byte, (size_t)work_count * sizeof(float));
    }
    fa_simd = run < fa_best_simd() ? run : fa_best_simd();
    return out;
}

static void process(void)
{
    if (is_left_out()) return;
    const ptrdiff_t size = size_of_image(), extent = extent_of_source();
    const size_t value = size_of_value();
    char *source = take(SOURCE, (size_t)(extent + the.padding) * value, the.place);
    const fa_image image = source_at(source);
    const fa_program *made = program();
    const uintptr_t next = draw(2) ? (uintptr_t)source : 0;
    void *expected = NULL, *out;
    float *work;
    int run;
    fill(source, extent, the.is_float, the.wild);
    for (run = 0; run < runs(); run++) {
        out = begin(run, size, &work, fa_process_values(made, &image));
        memset(source + (size_t)extent * value, run, (size_t)the.padding * value);
        fa_process(made, &image, next, the.row, the.m, the.standardize, work, out);
        if (run == 0) expected = out;
        else if (the.form.is_bytes) compare_bytes(out, expected, size);
        else compare(out, expected, size);
    }
}

/* ---- settings ---------------------------------------------------------------------------------- */

/* A value for each channel. */
static const float *values_of_channels(int role)
{
    const ptrdiff_t channels = the.form.channels;
    float *p = take(role, (size_t)channels * sizeof(float), the.place);
    fill(p, channels, 1, the.wild);
    return p;
}

static void set_statistics(int mean, int scale)
{
    the.mean = mean ? values_of_channels(MEAN) : NULL;
    the.scale = scale ? values_of_channels(SCALE) : NULL;
}

static void set_function(int is_one)
{
    the.factors = is_one ? values_of_channels(FACTORS) : NULL;
    the.offsets = is_one ? values_of_channels(OFFSETS) : NULL;
    the.reverses_channels = draw(2);
}

/* A case of this shape with everything off: no geometry, no flip, no shift. */
static void reset(const char *what, int height, int width, int channels, int is_float, int order,
                  int border)
{
    int k;
    memset(&the, 0, sizeof the);
    the.what = what;
    the.form.height = the.height = height;
    the.form.width = the.width = width;
    the.form.channels = channels;
    the.sampler.order = order;
    the.sampler.border = border;
    the.rescale = 1;
    the.is_float = is_float;
    for (k = 0; k < FA_COLUMNS; k++) the.row[k] = 0;
    the.row[FA_ZX] = the.row[FA_ZY] = 1;
    the.row[FA_CHANNEL_SHIFT] = the.row[FA_BRIGHTNESS] = NAN;
}

/* Draws what is neither shape nor geometry. */
static void draw_the_rest(void)
{
    static const float cvals[] = {0, 7.5f, -1e30f, NAN};
    static const float factors[] = {1 / 255.0f, 0, -2, 1e30f};
    static const double shifts[] = {0, 12.5, -300, 1e30, 1e300, INFINITY, -INFINITY};
    static const double brightness[] = {0, 0.5, 1, 3.7, -1, 1e-40, 1e30, 1e300, INFINITY, -INFINITY};
    the.place = draw(PLACES);
    the.wild = draw(4);
    the.padding = draw(3) == 0 ? draw(24) : draw(2) == 0 ? size_of_image() : 0;
    the.form.is_bytes = !the.is_float && the.sampler.order < 2 && draw(2);
    the.standardize = !the.form.is_bytes && draw(2);
    the.form.truncates = draw(2);
    the.sampler.cval = ONE_OF(cvals);
    the.form.channels_first = draw(4) == 0;
    the.rescales = draw(2);
    the.rescale = the.rescales ? ONE_OF(factors) : 1;
    the.sample_center = draw(4) == 0;
    the.sample_std = draw(4) == 0;
    set_statistics(draw(3) == 0, draw(3) == 0);
    set_function(draw(4) == 0);
    the.row[FA_FLIP_HORIZONTAL] = draw(2);
    the.row[FA_FLIP_VERTICAL] = draw(2);
    if (draw(3) == 0) the.row[FA_CHANNEL_SHIFT] = ONE_OF(shifts);
    if (draw(3) == 0) the.row[FA_BRIGHTNESS] = ONE_OF(brightness);
}

/* Makes the source of another size than what becomes of it, at times, or its rows apart. */
static void draw_source(void)
{
    if (draw(4) == 0) the.height = draw(2) ? 1 + draw(20) : ONE_OF(SIDES);
    if (draw(4) == 0) the.width = draw(2) ? 1 + draw(20) : ONE_OF(SIDES);
    if (draw(4) == 0) the.gap = draw(9);
}

/* The matrix of parameters, which are put into the row. */
static void set_geometry(double theta, double shear, double zx, double zy, double tx, double ty)
{
    the.row[FA_THETA] = theta;
    the.row[FA_SHEAR] = shear;
    the.row[FA_ZX] = zx;
    the.row[FA_ZY] = zy;
    the.row[FA_TX] = tx;
    the.row[FA_TY] = ty;
    fa_matrix(the.row, the.form.height, the.form.width, the.m);
}

static void set_entries(double a, double b, double c, double d, double e, double f)
{
    the.m[0] = a; the.m[1] = b; the.m[2] = c;
    the.m[3] = d; the.m[4] = e; the.m[5] = f;
    the.row[FA_TX] = 1; /* anything that makes the core look at the matrix */
}

#define NAMED_MATRICES 18
#define MATRICES (NAMED_MATRICES + 7 * COUNT(SPECIAL))

static void set_matrix(int kind)
{
    static const double edges[] = {-1, -0.5, -1e-17, 1e-17, 0.5, 1, -1.0000001, 1.0000001};
    const double h = (double)the.form.height, w = (double)the.form.width;
    const double far = (double)(1 << 20) - 0.5;
    int k;
    switch (kind) {
    case 0: set_entries(1, 0, 0, 0, 1, 0); return;
    case 1: set_geometry(between(-180, 180), 0, 1, 1, 0, 0); return;
    case 2: set_geometry(90 * draw(4), 0, 1, 1, 0.5, 0); return;
    case 3: set_geometry(between(-9, 9), between(-50, 50), between(0.7, 1.3), between(0.7, 1.3),
                         between(-h, h), between(-w, w)); return;
    case 4: set_geometry(between(-180, 180), 0, 1e-3, 1e-3, 0, 0); return;
    case 5: set_geometry(between(-180, 180), 0, 40, 40, 0, 0); return;
    case 6: set_geometry(between(-180, 180), 0, 1e6, 1e-6, 0, 0); return;
    case 7: set_geometry(between(-180, 180), 0, 0, 0, 0, 0); return;
    case 8: set_geometry(between(-5, 5), 0, 1, 1, 10 * h + 9, 10 * w + 9); return;
    case 9: set_geometry(between(-5, 5), 0, 1, 1, -10 * h - 9, -10 * w - 9); return;
    case 10: set_entries(1, 0, draw(5) - 2, 0, 1, draw(5) - 2); return;
    case 11: set_entries(-1, 0, h - 1, 0, -1, w - 1); return;
    case 12: set_entries(0, 1, 0, 1, 0, 0); return;
    case 13: set_entries(1, 0, ONE_OF(edges), 0, 1, ONE_OF(edges)); return;
    case 14: set_entries(1, 0, h - 1 + ONE_OF(edges), 0, 1, w - 1 + ONE_OF(edges)); return;
    case 15: set_entries(2, -2, h, -2, 2, w); return;
    case 16: set_entries(0, -2, far, 0, 2, -far); return;
    case 17: set_entries(between(-3, 3), between(-3, 3), between(-h, h), between(-3, 3),
                         between(-3, 3), between(-w, w)); return;
    default:
        kind -= NAMED_MATRICES;
        set_geometry(between(-30, 30), 5, 0.9, 1.1, 0.5, -0.5);
        for (k = 0; k < 6; k++)
            if (kind % 7 == k || kind % 7 == 6) the.m[k] = SPECIAL[kind / 7];
    }
}

/* ---- sweeps ------------------------------------------------------------------------------------ */

/* Every side of an image, with every type, number of channels, order and border. */
static void sweep_shapes(void)
{
    int side, tall, channels, rest;
    for (side = 0; side < COUNT(SIDES); side++)
        for (tall = 0; tall < 2; tall++)
            for (channels = 1; channels <= 5; channels++)
                for (rest = 0; rest < 2 * 6 * 7; rest++) {
                    const int other = draw(2) ? 1 + draw(3) : 1 + draw(20);
                    reset("shapes", tall ? SIDES[side] : other, tall ? other : SIDES[side], channels,
                          rest % 2, rest / 2 % 6, rest / 12);
                    draw_the_rest();
                    draw_source();
                    set_matrix(draw(3) ? draw(NAMED_MATRICES) : draw(MATRICES));
                    process();
                }
}

/* Every matrix, with every type, number of channels, order and border. */
static void sweep_matrices(void)
{
    static const int small[] = {1, 1, 2, 3, 8, 9, 17};
    int kind, channels, rest;
    for (kind = 0; kind < MATRICES; kind++)
        for (channels = 1; channels <= 5; channels++)
            for (rest = 0; rest < 2 * 6 * 7; rest++) {
                reset("matrices", ONE_OF(small), ONE_OF(small), channels, rest % 2, rest / 2 % 6,
                      rest / 12);
                draw_the_rest();
                draw_source();
                set_matrix(kind);
                process();
            }
}

/* Every switch, with and without geometry. */
static void sweep_switches(void)
{
    int bits;
    for (bits = 0; bits < 1 << 12; bits++) {
        reset("switches", 1 + draw(9), 1 + draw(9), 1 + draw(5), bits & 1, 1 + draw(3), draw(7));
        the.place = draw(PLACES);
        if (bits & 2) set_matrix(3);
        the.row[FA_FLIP_HORIZONTAL] = (bits & 4) != 0;
        the.row[FA_FLIP_VERTICAL] = (bits & 8) != 0;
        if (bits & 16) the.row[FA_CHANNEL_SHIFT] = between(-99, 99);
        if (bits & 32) the.row[FA_BRIGHTNESS] = between(0, 3);
        the.rescales = (bits & 64) != 0;
        the.rescale = bits & 64 ? 1 / 255.0f : 1;
        the.sample_center = (bits & 128) != 0;
        the.sample_std = (bits & 256) != 0;
        set_statistics(bits & 512, bits & 1024);
        set_function(draw(2));
        the.form.channels_first = (bits & 2048) != 0;
        the.standardize = 1;
        process();
        if (the.is_float || the.sampler.order > 1) continue;
        the.standardize = 0;
        the.form.is_bytes = 1;
        the.form.truncates = draw(2);
        process();
    }
}

static void sweep_at_random(int count)
{
    while (count--) {
        reset("at random", ONE_OF(SIDES), draw(2) ? 1 + draw(20) : ONE_OF(SIDES), 1 + draw(5),
              draw(2), draw(2) ? draw(2) : draw(6), draw(7));
        draw_the_rest();
        draw_source();
        set_matrix(draw(2) ? draw(NAMED_MATRICES) : draw(MATRICES));
        if (draw(8) == 0) set_geometry(0, 0, 1, 1, 0, 0);
        process();
    }
}

/* Masks: pixels of any number of bytes, which are picked. */
static void sweep_nearest(int count)
{
    static const uint8_t edge[9] = "edge....";
    while (count--) {
        reset("nearest", ONE_OF(SIDES), draw(2) ? 1 + draw(20) : ONE_OF(SIDES), 1 + draw(9), 0, 0, 0);
        the.place = draw(PLACES);
        the.form.is_bytes = 1;
        the.sampler.fill = edge;
        the.row[FA_FLIP_HORIZONTAL] = draw(2);
        the.row[FA_FLIP_VERTICAL] = draw(2);
        draw_source();
        set_matrix(draw(2) ? draw(NAMED_MATRICES) : draw(MATRICES));
        if (draw(8) == 0) set_geometry(0, 0, 1, 1, 0, 0);
        process();
    }
}

/* Images that are fetched line by line, and sides around the limit of nearness. */
static void sweep_large(void)
{
    static const int shapes[][3] = {
        {150, 150, 3}, {131, 130, 4}, {300, 257, 1}, {257, 129, 5}, {2, 33000, 1},
        {1, (1 << 20) - 1, 1}, {1, (1 << 20) + 1, 1}, {(1 << 20) + 1, 1, 1}};
    int i, rest;
    for (i = 0; i < COUNT(shapes); i++)
        for (rest = 0; rest < (i < 5 ? 28 : 2); rest++) {
            const int border = i < 5 ? rest / 4 : draw(7);
            reset("large", shapes[i][0], shapes[i][1], shapes[i][2], rest % 2,
                  i >= 5 ? 1 : rest / 2 % 2 ? draw(6) : 0, border);
            draw_the_rest();
            set_matrix(draw(3) ? draw(NAMED_MATRICES) : draw(MATRICES));
            process();
        }
}

static const double NEAR[] = {-1.5, -1, -0.5, -1e-17, 0.5, 1, 1.5};

/* Around the first pixel of n, around the last one, or special. */
static double coordinate(int kind, int n)
{
    if (kind < COUNT(NEAR)) return NEAR[kind];
    kind -= COUNT(NEAR);
    if (kind < COUNT(NEAR)) return n - 1 + NEAR[kind];
    return SPECIAL[kind - COUNT(NEAR)];
}

/* One sample by every border, as in images too large for an offset. */
static void sweep_samples(void)
{
    const int kinds = 2 * COUNT(NEAR) + COUNT(SPECIAL);
    fa_sampling from;
    int rest, i, j;
    for (rest = 0; rest < 2 * 2 * 7 * 8; rest++) {
        const int height = 1 + draw(4), width = 1 + draw(4);
        reset("samples", height, width, 1 + draw(5), rest % 2, rest / 2 % 2, rest / 4 % 7);
        draw_the_rest();
        the.form.channels_first = 0;
        {
            const fa_image size = source_at(NULL);
            from = fa_sampling_of(program(), &size);
        }
        for (i = 0; i < kinds; i++)
            for (j = 0; j < kinds; j++) {
                const ptrdiff_t size = size_of_image(), channels = the.form.channels;
                void *image = take(SOURCE, (size_t)size * size_of_value(), the.place);
                float *out = take(OUT, (size_t)channels * sizeof(float), the.place);
                double *at = the.m;
                at[0] = coordinate(i, height);
                at[1] = coordinate(j, width);
                if (is_left_out()) continue;
                fill(image, size, the.is_float, the.wild);
                if (the.is_float) fa_sample_f32(image, &from, at[0], at[1], out);
                else fa_sample_u8(image, &from, at[0], at[1], out);
            }
    }
}

/* Batches with every kind of stride: the last image in memory ends where the block does. */
static void sweep_batches(int count)
{
    while (count--) {
        const int images = 1 + draw(4), count = 1 + draw(5), start = draw(count);
        const int stop = start + 1 + draw(count - start), threads = 1 + draw(3);
        enum { DENSE, PADDED, BACKWARD, BROADCAST, DIFFERENT } kind = draw(5);
        ptrdiff_t size, image_bytes, reach;
        fa_image sources[4];
        fa_batch batch;
        int64_t *index;
        double *table, *matrices;
        char *block, *out, *expected = NULL;
        void *outs[5];
        int i, run, results;
        reset("a batch, its last row", 1 + draw(20), 1 + draw(20), 1 + draw(5), draw(2), draw(2),
              draw(7));
        draw_the_rest();
        the.padding = 0;
        index = take(INDEX, (size_t)count * sizeof(int64_t), the.place);
        table = take(TABLE, (size_t)(count * FA_COLUMNS) * sizeof(double), the.place);
        matrices = take(TRANSFORMS, (size_t)(count * 6) * sizeof(double), the.place);
        for (i = 0; i < count; i++) {
            set_matrix(draw(MATRICES));
            if (draw(4) == 0) the.row[draw(FA_ZY + 1)] = ONE_OF(SPECIAL);
            memcpy(table + i * FA_COLUMNS, the.row, sizeof the.row);
            memcpy(matrices + i * 6, the.m, sizeof the.m);
            index[i] = draw(images);
        }
        size = size_of_image();
        memset(&batch, 0, sizeof batch);
        draw_source();
        batch.program = program();
        if (kind == DIFFERENT) { /* each in memory of its own */
            for (i = 0; i < images; i++) {
                draw_source();
                block = take(OTHERS + i, (size_t)extent_of_source() * size_of_value(), the.place);
                fill(block, extent_of_source(), the.is_float, the.wild);
                sources[i] = source_at(block);
            }
            batch.sources = sources;
        } else {
            image_bytes = extent_of_source() * (ptrdiff_t)size_of_value();
            batch.stride = kind == BROADCAST ? 0 : image_bytes + (kind == PADDED ? 4 * draw(9) : 0);
            reach = batch.stride * (images - 1);
            block = take(SOURCE, (size_t)(reach + image_bytes), the.place);
            fill(block, (reach + image_bytes) / (ptrdiff_t)size_of_value(), the.is_float, the.wild);
            batch.image = source_at(kind == BACKWARD ? block + reach : block);
            if (kind == BACKWARD) batch.stride = -batch.stride;
        }
        batch.outs = outs;
        batch.out_size = 1 + draw(count);
        results = (count + (int)batch.out_size - 1) / (int)batch.out_size;
        batch.count = images;
        batch.index = index;
        batch.table = table;
        batch.matrices = draw(2) ? matrices : NULL;
        batch.size = count;
        batch.standardize = the.standardize;
        fa_measure_sources(&batch);
        if (is_left_out()) continue;
        for (run = 0; run < runs(); run++) {
            float *work;
            const ptrdiff_t skipped = start * size * (ptrdiff_t)size_of_result();
            const ptrdiff_t done = (stop - start) * size;
            out = begin(run, count * size, &work, fa_work_values(&batch));
            for (i = 0; i < results; i++)
                outs[i] = out + i * batch.out_size * size * (ptrdiff_t)size_of_result();
            fa_run(&batch, start, stop, threads, work);
            if (run == 0) expected = out;
            else if (the.form.is_bytes)
                compare_bytes((uint8_t *)out + skipped, (uint8_t *)expected + skipped, done);
            else compare((float *)(void *)(out + skipped), (float *)(void *)(expected + skipped), done);
        }
    }
}

/* What standardizes an image that is there. */
static void sweep_standardize(int count)
{
    while (count--) {
        ptrdiff_t size;
        float *expected = NULL, *before, *out, *work;
        int run;
        reset("standardizing", ONE_OF(SIDES), 1 + draw(20), 1 + draw(5), 1, 1, 0);
        draw_the_rest();
        size = size_of_image();
        before = take(BEFORE, (size_t)size * sizeof(float), HEAP);
        fill(before, size, 1, the.wild);
        if (is_left_out()) continue;
        for (run = 0; run < runs(); run++) {
            out = begin(run, size, &work, 0);
            memcpy(out, before, (size_t)size * sizeof(float));
            fa_standardize(program(), out);
            if (run == 0) expected = out;
            else compare(out, expected, size);
        }
    }
}

static void pick(int height, int width, int padding, int row_count, int column_count, int pattern)
{
    if (is_left_out()) return;
    const int place = draw(PLACES);
    const ptrdiff_t stride = 3 * width + padding, bytes = stride * (height - 1) + 3 * width;
    uint8_t *image = take(SOURCE, (size_t)bytes, place);
    uint8_t *out = take(OUT, (size_t)(row_count * column_count * 3), place);
    int32_t *rows = take(ROWS, (size_t)row_count * sizeof(int32_t), place);
    int32_t *columns = take(COLUMNS, (size_t)column_count * sizeof(int32_t), place);
    int i, j, k, variant;
    reset("picks", height, width, 3, 0, 0, 0);
    fill(image, bytes, 0, 0);
    for (i = 0; i < row_count; i++) rows[i] = draw(2) && i > 0 ? rows[i - 1] : draw(height);
    for (j = 0; j < column_count; j++)
        switch (pattern) {
        case 0: columns[j] = 0; break;
        case 1: columns[j] = width - 1; break;
        case 2: columns[j] = (int32_t)((2 * j + 1) * width / (2 * column_count)); break;
        default: columns[j] = j ? columns[j - 1] + draw(width - columns[j - 1]) : draw(width);
        }
    for (variant = 0; variant <= fa_best_simd(); variant++) {
        fa_simd = variant;
        memset(out, 7 * variant, (size_t)(row_count * column_count * 3));
        fa_pick_pixels(image, stride, width, rows, row_count, columns, column_count, out);
        for (i = 0; i < row_count; i++)
            for (j = 0; j < column_count; j++)
                for (k = 0; k < 3; k++)
                    if (out[(i * column_count + j) * 3 + k]
                        != image[rows[i] * stride + columns[j] * 3 + k]) {
                        fprintf(stderr, "%s picked another pixel: %d x %d of %d x %d at %d, %d\n",
                                fa_variant_names[variant], row_count, column_count, height, width, i, j);
                        exit(1);
                    }
    }
}

static void sweep_picks(void)
{
    int width, count, pattern;
    for (width = 1; width <= 34; width++)
        for (count = 0; count <= 20; count++)
            for (pattern = 0; pattern < 4; pattern++) {
                pick(1 + draw(4), width, 0, 1 + draw(5), count, pattern);
                pick(1 + draw(4), width, draw(9), draw(4), count, pattern);
            }
    for (count = 100; count <= 1500; count += 7)
        pick(1 + draw(4), 1 + draw(1500), draw(9), 1 + draw(5), count, draw(4));
}

/* ---- ops on whole images ------------------------------------------------------------------------ */

#define MOST_STEPS 4
#define STEP_COLUMNS 16

static int is_op(const fa_image_op *op, const char *name) { return strcmp(op->name, name) == 0; }

/* Draws any numbers for columns that say which memory is used: those of an op that somebody else wrote. */
static void draw_any(double *p, int count)
{
    while (count--) {
        const int kind = draw(3);
        if (kind == 0) *p = ONE_OF(SPECIAL);
        else if (kind == 1) *p = between(-400, 400);
        p++;
    }
}

/* Draws columns of an op from what may be in them. */
static void draw_columns(const fa_image_op *op, int height, int width, double *p)
{
    const int reach_down = height <= FA_BLUR_REACH ? height : FA_BLUR_REACH + 1;
    const int reach_across = width <= FA_BLUR_REACH ? width : FA_BLUR_REACH + 1;
    const int turn = draw(4), is_steep = draw(3) == 0;
    int k;
    memset(p, 0, (STEP_COLUMNS - 1) * sizeof *p); /* a slot has a column before them */
    if (op->matrix) {
        const int is_projective = op->columns == 10;
        for (k = 0; k < 6; k++)
            p[k] = (k == 0 || k == 4) + (draw(2) ? 0 : between(-1, 1)) * (k % 3 == 2 ? 40 : 1);
        if (!is_projective && draw(3) == 0) {
            p[0] = p[4] = turn % 2 ? 0 : 1 - turn;
            p[1] = turn % 2 ? 2 - turn : 0;
            p[3] = -p[1];
        }
        for (; is_projective && k < 8; k++) p[k] = between(-1, 1) * (is_steep ? 1 : 0.01);
        if (draw(20) == 0) p[1 + draw(k - 1)] = ONE_OF(SPECIAL);
        p[k] = draw(2);
        if (draw(8) == 0) draw_any(p + k, 1);
        p[k + 1] = draw(256);
    } else if (is_op(op, "erasing")) {
        p[0] = draw(height);
        p[1] = draw(width);
        p[2] = draw(height - (int)p[0] + 1);
        p[3] = draw(width - (int)p[1] + 1);
        if (draw(4) == 0) draw_any(p, 4);
        p[4] = draw(2);
        p[5] = (double)(draw_bits() >> 11);
        for (k = 0; k < FA_ERASE_VALUES; k++) p[6 + k] = draw(256);
    } else if (is_op(op, "gaussian_blur")) {
        p[0] = 2 * draw(reach_down) + 1;
        p[1] = 2 * draw(reach_across) + 1;
        if (draw(4) == 0) draw_any(p, 2);
        p[2] = draw(2) ? between(0.001, 3) : between(0.1, 1000);
    } else if (is_op(op, "gaussian_noise")) {
        p[0] = between(-255, 255);
        p[1] = between(0, 255);
        p[2] = draw(2);
        p[3] = (double)(draw_bits() >> 11);
    } else {
        p[0] = is_op(op, "adjust_hue") ? between(-0.5, 0.5) : is_op(op, "posterize") ? draw(9)
            : is_op(op, "solarize") ? between(0, 256) : between(0, draw(2) ? 2 : 1000);
    }
}

static void sweep_image_steps(int count)
{
    while (count--) {
        const int is_float = draw(4) == 0, channels = draw(3) ? (draw(2) ? 3 : 1) : 1 + draw(6);
        const int height = draw(4) ? 1 + draw(20) : 1 + draw(140);
        const int width = draw(4) ? 1 + draw(20) : 1 + draw(height > 70 ? 40 : 300);
        const ptrdiff_t size = (ptrdiff_t)height * width * channels;
        const int is_cropped = draw(3) == 0;
        double row[FA_COLUMNS + MOST_STEPS * STEP_COLUMNS + FA_CROP_COLUMNS];
        fa_image_step image_steps[MOST_STEPS];
        fa_augment augment;
        fa_program made;
        fa_image image;
        void *source, *expected = NULL, *out;
        float *work;
        int run, k;
        reset("image steps", height, width, channels, is_float, 0, FA_NEAREST);
        the.place = draw(PLACES);
        the.wild = draw(4);
        the.form.is_bytes = !is_float;
        the.form.channels_first = draw(4) == 0;
        the.row[FA_FLIP_HORIZONTAL] = draw(4) == 0;
        memset(&augment, 0, sizeof augment);
        augment.crop = -1;
        if (is_cropped) {
            double *p = row + FA_COLUMNS + MOST_STEPS * STEP_COLUMNS;
            augment.crop = p - row;
            the.height = 1 + draw(2 * height);
            the.width = 1 + draw(2 * width);
            the.row[FA_TX] = draw(2);
            p[FA_CROP_HEIGHT] = 1 + draw((int)the.height);
            p[FA_CROP_WIDTH] = 1 + draw((int)the.width);
            p[FA_CROP_TOP] = draw((int)the.height - (int)p[FA_CROP_HEIGHT] + 1);
            p[FA_CROP_LEFT] = draw((int)the.width - (int)p[FA_CROP_WIDTH] + 1);
            p[FA_CROP_FILTER] = draw(FA_FILTERS);
            p[FA_CROP_FILL] = draw(256);
            if (draw(4) == 0) draw_any(p, 5);
            fa_matrix(the.row, height, width, the.m);
        }
        memcpy(row, the.row, sizeof the.row);
        augment.count = 1 + draw(MOST_STEPS);
        for (k = 0; k < augment.count; k++) {
            const int number = draw(FA_IMAGE_OPS), is_slot = draw(2);
            const fa_image_op *op = &fa_image_ops[number];
            double *p = row + FA_COLUMNS + k * STEP_COLUMNS;
            image_steps[k].op = is_slot ? NULL : op;
            image_steps[k].column = p - row;
            if (is_slot) *p++ = number;
            draw_columns(op, height, width, p);
            if (draw(6) == 0 || (!is_slot && op->only_colours && channels != 1 && channels != 3))
                row[image_steps[k].column] = NAN;
        }
        augment.steps = image_steps;
        made = *program();
        made.count = made.standardization = made.after_function = 0;
        made.columns = COUNT(row);
        fa_set_augment(&made, &augment);
        made.augment = &augment;
        source = take(SOURCE, (size_t)extent_of_source() * size_of_value(), the.place);
        fill(source, extent_of_source(), is_float, the.wild);
        image = source_at(source);
        if (is_left_out()) continue;
        for (run = 0; run < runs(); run++) {
            out = begin(run, size, &work, fa_augmented_values(&made, &image));
            fa_process_augmented(&made, &image, 0, row, the.m, 0, work, out);
            if (run == 0) expected = out;
            else if (the.form.is_bytes) compare_bytes(out, expected, size);
            else compare(out, expected, size);
        }
    }
}

/* ---- resizing ---------------------------------------------------------------------------------- */

/* Weights of an axis, in memory of their own. */
static fa_weights weights_of(int role, int filter, int length, int size, int place)
{
    const float start = draw(2) ? 0 : (float)between(0, length), stop = draw(2)
        ? (float)length : (float)between((double)start, length);
    const ptrdiff_t taps = fa_count_taps(filter, start, stop, size);
    int32_t *p = take(role, (size_t)(size * (2 * taps + 2)) * sizeof(int32_t), place);
    double *values = take(TABLE, (size_t)taps * sizeof(double), place);
    fa_weights weights = {size, taps, p, p + size, p + 2 * size, p + (2 + taps) * size};
    fa_set_weights(filter, length, start, stop, size, taps, values, p, p + size, p + 2 * size,
                   p + (2 + taps) * size);
    return weights;
}

static void sweep_resample(int count)
{
    while (count--) {
        const int place = draw(PLACES), filter = draw(FA_FILTERS), rows_first = draw(2);
        const int height = 1 + draw(40), width = 1 + draw(40), channels = draw(3) ? 3 : 1 + draw(4);
        const int which = 1 + draw(3);
        const fa_weights rows = weights_of(ROWS, filter, height, 1 + draw(40), place);
        const fa_weights columns = weights_of(COLUMNS, filter, width, 1 + draw(40), place);
        const fa_weights *r = which & 1 ? &rows : NULL, *c = which & 2 ? &columns : NULL;
        const ptrdiff_t stride = width * channels + (draw(2) ? 0 : draw(9));
        const ptrdiff_t extent = stride * (height - 1) + width * channels;
        const ptrdiff_t size = (r ? rows.size : height) * (c ? columns.size : width) * channels;
        const ptrdiff_t bytes = fa_resample_bytes(width, channels, r, c, rows_first);
        uint8_t *image = take(SOURCE, (size_t)extent, place), *expected = NULL;
        int run;
        reset("resizing", height, width, channels, 0, 0, 0);
        the.place = place;
        the.form.is_bytes = 1;
        fill(image, extent, 0, 0);
        cases++;
        for (run = 0; run < runs(); run++) {
            float *none;
            uint8_t *memory = take(WORK, (size_t)bytes, place), *out = begin(run, size, &none, 0);
            memset(memory, run, (size_t)bytes);
            fa_resample(image, stride, height, width, channels, r, c, rows_first, memory, out);
            if (run == 0) expected = out;
            else compare_bytes(out, expected, size);
        }
    }
}

/* ---- segments of JPEG files -------------------------------------------------------------------- */

/* A small JPEG's segments, some of them cut off at a random place, or with other bytes. */
static void sweep_jpegs(int count)
{
    static const uint8_t whole[] = {
        0xFF, 0xD8, 0xFF, 0xE0, 0, 16, 'J', 'F', 'I', 'F', 0, 1, 1, 0, 0, 1, 0, 1, 0, 0,
        0xFF, 0xE2, 0, 6, 'M', 'P', 'X', 0, 0xFF, 0xFE, 0, 2,
        0xFF, 0xC0, 0, 11, 8, 0, 7, 0, 9, 1, 1, 0x11, 0, 0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0,
        1, 2, 0xFF, 0, 3, 0xFF, 0xD0, 4, 5, 0xFF, 0xD9};
    static const uint8_t bytes[] = {
        0, 1, 2, 3, 7, 16, 255, 0xC0, 0xC2, 0xC4, 0xD0, 0xD7, 0xD8, 0xD9, 0xDA, 0xDB, 0xE0, 0xE1, 0xED};
    fa_jpeg jpeg;
    int i, changes, plain = 0;
    if (!fa_read_jpeg(whole, sizeof whole, -1, &jpeg) || jpeg.height != 7 || jpeg.width != 9
        || !jpeg.has_metadata || fa_read_jpeg(whole, sizeof whole, 62, &jpeg)
        || !fa_read_jpeg(whole, sizeof whole, 63, &jpeg)) {
        fprintf(stderr, "a plain JPEG is not understood\n");
        exit(1);
    }
    for (i = 0; i < 12; i++) { /* a segment that ends before what is looked for in it */
        static const uint8_t begun[] = {0xFF, 0xD8, 0xFF, 0xE2, 0, 0, 'M', 'P', 'F', 0, 0, 0};
        uint8_t *data = take(SOURCE, (size_t)i, TO_THE_END);
        memcpy(data, begun, (size_t)i);
        if (i > 5) data[5] = (uint8_t)(i - 4);
        cases++;
        if (fa_read_jpeg(data, (size_t)i, -1, &jpeg)) exit(1);
    }
    for (i = 0; i < count; i++) {
        const size_t size = draw(3) ? sizeof whole : (size_t)draw(sizeof whole + 1);
        uint8_t *data = take(SOURCE, size, draw(2) ? HEAP : TO_THE_END);
        if (is_left_out()) continue;
        memcpy(data, whole, size);
        for (changes = draw(4); changes > 0 && size; changes--)
            data[draw((int)size)] = draw(2) ? ONE_OF(bytes) : (uint8_t)draw(256);
        if (!fa_read_jpeg(data, size, draw(100) - 1, &jpeg)) continue;
        plain++;
        if (data[0] != 0xFF || data[1] != 0xD8 || data[size - 2] != 0xFF || data[size - 1] != 0xD9) {
            fprintf(stderr, "a JPEG without its ends is understood\n");
            exit(1);
        }
    }
    if (!plain || plain == count) {
        fprintf(stderr, "%d of %d JPEGs are understood\n", plain, count);
        exit(1);
    }
}

static void on_abort(int number)
{
    (void)number;
    describe();
}

int main(int argc, char **argv)
{
    if (argc > 1) every = strtol(argv[1], NULL, 10);
    if (every < 1) return 2;
    signal(SIGABRT, on_abort);
    open_arenas();
    sweep_shapes();
    sweep_matrices();
    sweep_switches();
    sweep_at_random(40000);
    sweep_nearest(20000);
    sweep_large();
    sweep_samples();
    sweep_batches(4000);
    sweep_image_steps(40000);
    sweep_standardize(4000);
    sweep_picks();
    sweep_resample(20000);
    sweep_jpegs(100000);
    printf("One of %ld of %ld cases, best variant %s\n", every, cases, fa_variant_names[fa_best_simd()]);
    return 0;
}
