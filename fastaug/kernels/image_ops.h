/* The table of the ops that an `augment` list is made of.
 *
 * Ops of ops.h do what Keras does, in its arithmetic, on the way from the sampler. These come after them,
 * on whole images: of bytes, or of floats where an op is defined for them.
 *
 * An op has some columns of the parameter table. NaN in its first: off. A step without an op is a slot:
 * its first column holds the number of an op, and those of that op follow.
 */
#ifndef FASTAUG_IMAGE_OPS_H
#define FASTAUG_IMAGE_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "area.h"
#include "blur.h"
#include "canvas.h"
#include "colour.h"
#include "geometry.h"

enum fa_reads_image { FA_READS_NO_IMAGE, FA_READS_RANGE, FA_READS_HISTOGRAM,
                      FA_READS_GREY_MEAN };

/* p: the columns of the op. */
typedef struct {
    const char *name;
    int columns;
    int reads;                /* enum fa_reads_image, for `map` */
    int only_colours;         /* it needs one or three channels */
    /* what becomes of the values of a channel: changes those in a table of 256, which others made */
    void (*map)(const double *p, const fa_statistics *statistics, ptrdiff_t channel, uint8_t *table);
    /* or the whole image, of bytes and of floats; NULL: there is no such */
    void (*apply_bytes)(const double *p, fa_canvas *canvas);
    void (*apply_floats)(const double *p, fa_canvas *canvas);
    /* or where pixels come from: a matrix of geometry.h. The last two columns of such an op are the order
     * of interpolation, 0 or 1, and the value outside. */
    void (*matrix)(const double *p, double *m);
} fa_image_op;

static const fa_image_op fa_image_ops[] = {
    {"adjust_brightness", 1, 0, 1, fa_map_adjust_brightness, NULL, fa_brightness_floats, NULL},
    {"adjust_contrast", 1, FA_READS_GREY_MEAN, 1, fa_map_adjust_contrast, NULL, fa_contrast_floats, NULL},
    {"adjust_hue", 1, 0, 1, NULL, fa_hue_bytes, fa_hue_floats, NULL},
    {"adjust_saturation", 1, 0, 1, NULL, fa_saturation_bytes, fa_saturation_floats, NULL},
    {"affine", 8, 0, 0, NULL, NULL, NULL, fa_affine_matrix},
    {"autocontrast", 1, FA_READS_RANGE, 1, fa_map_autocontrast, NULL, fa_autocontrast_floats, NULL},
    {"equalize", 1, FA_READS_HISTOGRAM, 1, fa_map_equalize, NULL, NULL, NULL},
    {"erasing", 6 + FA_ERASE_VALUES, 0, 0, NULL, fa_erase_bytes, fa_erase_floats, NULL},
    {"gaussian_blur", 3, 0, 0, NULL, fa_blur_image_bytes, fa_blur_image_floats, NULL},
    {"gaussian_noise", 4, 0, 0, NULL, fa_noise_bytes, fa_noise_floats, NULL},
    {"grayscale", 1, 0, 1, NULL, fa_grayscale_bytes, fa_grayscale_floats, NULL},
    {"invert", 1, 0, 1, fa_map_invert, NULL, fa_invert_floats, NULL},
    {"perspective", 10, 0, 0, NULL, NULL, NULL, fa_perspective_matrix},
    {"posterize", 1, 0, 1, fa_map_posterize, NULL, NULL, NULL},
    {"sharpness", 1, 0, 0, NULL, fa_sharpness_bytes, fa_sharpness_floats, NULL},
    {"solarize", 1, 0, 1, fa_map_solarize, NULL, fa_solarize_floats, NULL},
};

#define FA_IMAGE_OPS ((ptrdiff_t)(sizeof fa_image_ops / sizeof *fa_image_ops))

typedef struct {
    const fa_image_op *op;    /* NULL: a slot */
    ptrdiff_t column;         /* its first in the table */
} fa_image_step;

#endif
