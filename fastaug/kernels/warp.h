/* Affine warps, copies and flips of pixels of uint8 and float32, and the change of their layout. */
#ifndef FASTAUG_WARP_H
#define FASTAUG_WARP_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "blend_avx2.h"
#include "blend_neon.h"
#include "border.h"
#include "locate.h"
#include "platform.h"
#include "rows.h"
#include "samples.h"
#include "simd.h"
#include "spline.h"

#define FA_PIXEL uint8_t
#define FA_NAME(name) name##_u8
#include "warp.inc"
#undef FA_PIXEL
#undef FA_NAME

#define FA_PIXEL float
#define FA_NAME(name) name##_f32
#include "warp.inc"
#undef FA_PIXEL
#undef FA_NAME

#endif
