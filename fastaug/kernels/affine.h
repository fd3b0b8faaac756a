/* The parameters of Keras's transforms in a row of the table, and the matrix of the geometric ones. */
#ifndef FASTAUG_AFFINE_H
#define FASTAUG_AFFINE_H

#include <math.h>
#include <stddef.h>

/* Columns of the parameter table, in the order in which Keras names them. NaN: no such shift. */
enum fa_column {
    FA_THETA, FA_TX, FA_TY, FA_SHEAR, FA_ZX, FA_ZY, FA_FLIP_HORIZONTAL, FA_FLIP_VERTICAL,
    FA_CHANNEL_SHIFT, FA_BRIGHTNESS, FA_COLUMNS
};

static int fa_has_geometry(const double *row)
{
    return row[FA_THETA] != 0 || row[FA_TX] != 0 || row[FA_TY] != 0 || row[FA_SHEAR] != 0
        || row[FA_ZX] != 1 || row[FA_ZY] != 1;
}

/* Keras's matrix, rotation . shift . shear . zoom about ((h, w) / 2 - 0.5) with x and y swapped at
 * the end: source (row, column) = m[0..1] . (row, column) + m[2], and the same with m[3..5]. */
static void fa_matrix(const double *row, ptrdiff_t height, ptrdiff_t width, double *m)
{
    const double radians = 3.14159265358979323846 / 180.0;
    const double theta = row[FA_THETA] * radians, shear = row[FA_SHEAR] * radians;
    const double c = cos(theta), s = sin(theta), sh_s = sin(shear), sh_c = cos(shear);
    const double zx = row[FA_ZX], zy = row[FA_ZY], tx = row[FA_TX], ty = row[FA_TY];
    const double ox = (double)height / 2 - 0.5, oy = (double)width / 2 - 0.5;
    const double xx = c * zx, xy = (-c * sh_s - s * sh_c) * zy;
    const double yx = s * zx, yy = (-s * sh_s + c * sh_c) * zy;
    const double x0 = c * tx - s * ty + ox - xx * ox - xy * oy;
    const double y0 = s * tx + c * ty + oy - yx * ox - yy * oy;
    m[0] = yy; m[1] = yx; m[2] = y0;
    m[3] = xy; m[4] = xx; m[5] = x0;
}

#endif
