# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: auto_pickle=False, autotestdict=False
"""Pixel work for a slice of a batch, outside the GIL.

Owns what keeps images and batches alive while they are worked on; the loops over images and pixels
are C, in ``kernels/run.h`` and what that includes, and so is the queue, in ``kernels/queue.h``,
that threads take such work from without the GIL. Draws the numbers of a parameter table, from a
stream that it is given or, in those threads, from a seed; starts no thread. Two slices of a batch
share only what both read, so an image does not depend on how its batch was cut.

Objects are made whole by ``__cinit__``, once: a second ``__init__`` finds nothing to do.

What threads share, and what keeps it whole in a Python without the GIL, for which this module does
not declare itself (an import turns the GIL on there):

- Tasks and the queue's list of ended ones: the queue's lock. Slots, entries and readers of a ring:
  the same, and atomic operations, as other processes see them too.
- A batch's results, error and queue, the entries of a control block that are taken, lists that are
  compared: critical sections. Of several who wait for a batch, one gets the error of its calls.
- A stream: the lock of its bit generator. Kept memory: a lock of its own.
- ``fa_simd`` is for a time when no other thread works; ``_forks`` changes in a new child, which has
  one thread. A `Reader`, a `KeptMemory` and `Batch.run` are for one thread at a time.
- Not safe without the GIL: `Ring.failure` and `Ring.view`, read while another thread sets them; and
  arrays that somebody changes while they are read, which is so with the GIL, too.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.pythread cimport (
    NOWAIT_LOCK, WAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock,
    PyThread_release_lock, PyThread_type_lock,
)
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.math cimport fabs, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy

import copy
import operator
import os
from queue import Empty

import numpy as np

cimport cython
cimport numpy as cnp

cnp.import_array()

cdef extern from "kernels/simd.h" nogil:
    enum:
        FA_VARIANTS

    const char *const fa_variant_names[FA_VARIANTS]
    int fa_simd
    int fa_best_simd()

cdef extern from "kernels/image.h" nogil:
    enum:
        FA_NO_TYPE
        FA_UINT8
        FA_INT8
        FA_UINT16
        FA_INT16
        FA_UINT32
        FA_INT32
        FA_UINT64
        FA_INT64
        FA_FLOAT16
        FA_FLOAT64
        FA_FLOAT32

    ctypedef struct fa_image:
        const void *data
        ptrdiff_t height, width, row, padding
        int type

    ctypedef struct fa_form:
        ptrdiff_t height, width, channels
        bint channels_first, is_bytes, truncates

    ptrdiff_t fa_form_size(const fa_form *form)

cdef extern from "kernels/program.h" nogil:
    ctypedef struct fa_op:
        const char *name
        int columns
        bint needs_pixels
        void *map_uint8

    ctypedef struct fa_step:
        const fa_op *op
        ptrdiff_t column
        float factor
        bint reverses_channels
        const float *scale
        const float *offset

    ctypedef struct fa_sampler:
        int order, border
        float cval
        const uint8_t *fill

    ctypedef struct fa_program:
        fa_form form
        fa_sampler sampler
        const void *augment
        const fa_step *steps
        ptrdiff_t count, standardization, after_function, columns

cdef extern from "kernels/ops.h" nogil:
    enum:
        FA_OPS

    const fa_op fa_ops[FA_OPS]

cdef extern from "kernels/affine.h" nogil:
    enum:
        FA_COLUMNS
        FA_TX
        FA_TY
        FA_FLIP_HORIZONTAL
        FA_FLIP_VERTICAL

    bint fa_has_geometry(const double *row)
    void fa_matrix(const double *row, ptrdiff_t height, ptrdiff_t width, double *m)

cdef extern from "kernels/values.h" nogil:
    double fa_sum(const float *x, ptrdiff_t size)
    double fa_sum_squares(const float *x, ptrdiff_t size, float mean)
    void fa_brightness(float *x, ptrdiff_t size, ptrdiff_t channels, double factor, float low,
                       float high)

cdef extern from "kernels/arrays.h" nogil:
    enum:
        FA_MULTIPLY
        FA_SUBTRACT
        FA_DIVIDE

    void fa_combine_floats(float *x, ptrdiff_t outer, ptrdiff_t count, ptrdiff_t inner,
                           const float *values, int operation)
    void fa_combine_doubles(double *x, ptrdiff_t outer, ptrdiff_t count, ptrdiff_t inner,
                            const double *values, int operation)
    void fa_combine_halves(uint16_t *x, ptrdiff_t outer, ptrdiff_t count, ptrdiff_t inner,
                           const float *values, int operation)
    double fa_sum_doubles(const double *x, ptrdiff_t size)
    double fa_sum_square_doubles(const double *x, ptrdiff_t size, double mean)
    void fa_flip(char *image, ptrdiff_t height, ptrdiff_t width, ptrdiff_t bytes, bint horizontal,
                 bint vertical)
    void fa_gather(const char *source, const ptrdiff_t *shape, const ptrdiff_t *strides,
                   ptrdiff_t bytes, char *out)

cdef extern from "kernels/convert.h" nogil:
    void fa_to_floats(int type, const void *values, ptrdiff_t size, float *out)
    bint fa_floats_to_halves(const float *x, ptrdiff_t size, uint16_t *out)
    bint fa_doubles_to_halves(const double *x, ptrdiff_t size, uint16_t *out)

cdef extern from "kernels/exact.h" nogil:
    ctypedef struct fa_layout:
        ptrdiff_t height, width, channels, row, column, channel

    void fa_exact_warp(const double *image, const fa_layout *at, int order, int border,
                       double cval, const double *m, double *out)
    void fa_from_doubles(int type, const double *x, ptrdiff_t size, void *out)

cdef extern from "kernels/pick.h" nogil:
    void fa_pick_pixels(const uint8_t *image, ptrdiff_t stride, ptrdiff_t width,
                        const int32_t *rows, ptrdiff_t row_count, const int32_t *columns,
                        ptrdiff_t column_count, uint8_t *out)

cdef extern from "kernels/resample.h" nogil:
    enum:
        FA_FILTERS

    ctypedef struct fa_weights:
        ptrdiff_t size, taps
        const int32_t *first
        const int32_t *count
        const int32_t *weight
        const int32_t *halves

    ptrdiff_t fa_count_taps(int filter_, float start, float stop, ptrdiff_t size)
    void fa_set_weights(int filter_, ptrdiff_t length, float start, float stop, ptrdiff_t size,
                        ptrdiff_t taps, double *values, int32_t *first, int32_t *count,
                        int32_t *weight, int32_t *halves)
    ptrdiff_t fa_resample_bytes(ptrdiff_t width, ptrdiff_t channels, const fa_weights *rows,
                                const fa_weights *columns, bint rows_first)
    void fa_resample(const uint8_t *data, ptrdiff_t stride, ptrdiff_t height, ptrdiff_t width,
                     ptrdiff_t channels, const fa_weights *rows, const fa_weights *columns,
                     bint rows_first, uint8_t *memory, uint8_t *out)

cdef extern from "kernels/image_ops.h" nogil:
    enum:
        FA_IMAGE_OPS

    ctypedef struct fa_image_op:
        const char *name
        int columns
        bint only_colours
        void *map
        void *apply_bytes
        void *apply_floats
        void *matrix

    const fa_image_op *fa_image_ops

    ctypedef struct fa_image_step:
        const fa_image_op *op
        ptrdiff_t column

cdef extern from "kernels/augment.h" nogil:
    enum:
        FA_CROP_COLUMNS

    const double fa_no_parameters[FA_COLUMNS]

    ctypedef struct fa_augment:
        fa_program bytes
        fa_program floats
        fa_program after
        ptrdiff_t crop
        const fa_image_step *steps
        ptrdiff_t count
        bint rounds, only_moves

    void fa_set_augment(const fa_program *program, fa_augment *augment)

cdef extern from "kernels/mix.h" nogil:
    enum:
        FA_MIX_COLUMNS

    void fa_mix(char *image, const char *other, const ptrdiff_t *shape, bint is_bytes,
                const double *p)

cdef extern from "kernels/run.h" nogil:
    ctypedef struct fa_batch:
        const fa_program *program
        fa_image image
        ptrdiff_t stride, count
        const fa_image *sources
        const int64_t *index
        const double *table
        const double *matrices
        ptrdiff_t size
        bint standardize
        void **outs
        ptrdiff_t out_size

    fa_image fa_source(const fa_batch *batch, ptrdiff_t k)
    fa_image fa_as_floats(const fa_form *form, const fa_image *image, float *values)
    bint fa_is_read(int type)
    ptrdiff_t fa_image_size(const fa_image *image, const fa_form *form)
    void fa_measure_sources(fa_batch *batch)
    ptrdiff_t fa_work_values(const fa_batch *batch)
    void fa_process(const fa_program *program, const fa_image *image, size_t next,
                    const double *row, const double *m, bint standardize, float *work, void *out)
    void fa_run(const fa_batch *batch, ptrdiff_t start, ptrdiff_t stop, ptrdiff_t threads,
                float *work)
    void fa_standardize(const fa_program *program, float *x)

cdef extern from "kernels/jpeg.h" nogil:
    ctypedef struct fa_jpeg:
        int height, width
        int has_metadata

    int fa_read_jpeg(const uint8_t *data, size_t size, int64_t most_pixels, fa_jpeg *jpeg)

# By itself: a cimport of numpy.random would check types of it that differ between its versions.
cdef extern from "numpy/random/bitgen.h":
    ctypedef struct bitgen_t:
        void *state
        double (*next_double)(void *state)

cdef extern from "kernels/draws.h" nogil:
    ctypedef struct fa_mt19937:
        pass

    ctypedef struct fa_draws:
        ptrdiff_t count
        ptrdiff_t column[FA_COLUMNS]
        double low[FA_COLUMNS]
        double spread[FA_COLUMNS]
        uint64_t choices[FA_COLUMNS]
        const double *chosen[FA_COLUMNS]
        double flips[2]
        double scale[FA_COLUMNS]
        double base[FA_COLUMNS]

    void fa_seed(fa_mt19937 *state, uint32_t seed)
    void fa_fill_row(const fa_draws *draws, const double *values, double *row)
    void fa_draw_rows(const fa_draws *draws, bitgen_t *bits, ptrdiff_t images, double *table)

cdef extern from "kernels/philox.h" nogil:
    void fa_philox_uniform(const uint64_t *key, uint64_t epoch, uint64_t sample, ptrdiff_t count,
                           double *out)

cdef extern from "pythread.h" nogil:
    enum PyLockStatus:
        PY_LOCK_ACQUIRED

    PyLockStatus PyThread_acquire_lock_timed(PyThread_type_lock lock, long long microseconds,
                                             bint interruptible)

cdef extern from "kernels/memory.h":
    object fa_kept_capsule()
    void fa_kept_release()
    object PyDataMem_SetHandler(object handler)

cdef extern from "kernels/file.h" nogil:
    enum:
        FA_SMALL_FILE
        FA_LONG_PATH

    int fa_memory_file(const char *name)
    void fa_close(int fd)
    long fa_current_process()
    Py_ssize_t fa_read_small(const char *path, char *data, int *fd)


cdef extern from "kernels/ring.h" nogil:
    enum:
        FA_ENTRIES
        FA_READERS
        FA_NOBODY
        FA_PATH_BYTES
        FA_CLAIMED
        FA_UNKNOWN
        FA_GONE
        FA_WAITING
        FA_DONE
        FA_FAILED
        FA_ABANDONED
        FA_THREADS
        FA_OPENS_ABSOLUTE
        FA_OPENS_ALL

    ctypedef struct fa_event:
        uint32_t sequence, asleep

    ctypedef struct fa_entry:
        uint32_t generation, kind
        uint64_t device, inode, size
        char path[FA_PATH_BYTES]
        uint64_t submitted, claimed

    ctypedef struct fa_reader:
        fa_event wakes
        uint64_t redo, busy, since

    ctypedef struct fa_control:
        fa_event ready
        uint32_t warping, limit, cores, entries, readers, load_truncated, stopped
        int64_t most_pixels
        fa_entry *entry
        fa_reader *reader

    ctypedef struct fa_ring_header:
        uint64_t slots, slot_bytes, files, name_bytes, about_bytes, wanted, follows_pillow

    ctypedef struct fa_ring:
        fa_ring_header *header
        uint32_t slots
        uint32_t *words
        int64_t *files
        uint64_t *draws
        uint64_t *offsets
        char *names
        char *about
        char *images
        fa_control *control
        fa_entry *entry
        uint32_t generation
        int opens
        uint64_t next
        int32_t *free_slots
        ptrdiff_t free_count
        int32_t *abandoned
        ptrdiff_t abandoned_count

    uint32_t fa_load32(const uint32_t *at)
    uint64_t fa_load64(const uint64_t *at)
    uint64_t fa_now()
    uint64_t fa_thread_time()
    void fa_store32(uint32_t *at, uint32_t value)
    void fa_store64(uint64_t *at, uint64_t value)
    void fa_event_signal(fa_event *event, ptrdiff_t count)
    uint64_t fa_ring_layout(const fa_ring_header *header, char *memory, fa_ring *ring)
    uint64_t fa_control_bytes(uint32_t readers)
    bint fa_path_to_open(const fa_ring *ring, int32_t slot, char *path, size_t room)
    int32_t fa_claim(fa_ring *ring, uint32_t reader)
    bint fa_settle(fa_ring *ring, uint32_t slot, uint32_t reader, int state)
    int fa_next(fa_control *control, fa_ring **rings, uint32_t reader, uint32_t kind,
                long long microseconds, int32_t *entry, int32_t *slot)
    uint32_t fa_hung(fa_control *control, uint32_t kind)
    uint32_t fa_allowed(fa_control *control, uint32_t kind)
    void fa_account(fa_control *control, double reading, double in_all)
    void fa_account_thread(fa_control *control, double seconds)
    uint64_t fa_unclaimed(fa_entry *entry)
    void fa_wake_reader(fa_reader *reader)
    void fa_wake_readers(fa_control *control)
    int32_t fa_held_by(const fa_ring *ring, uint32_t reader)
    void fa_take_from(fa_ring *ring, int32_t slot, int state)
    uint64_t FA_REDO(int entry, int slot, uint32_t generation)

cdef extern from "kernels/queue.h" nogil:
    ctypedef struct fa_failure:
        fa_failure *next
        ptrdiff_t position
        size_t size
        char *record

    ctypedef struct fa_task:
        fa_task *next
        void *object
        const fa_batch *batch
        ptrdiff_t count, chunk, claimed, ended, worked
        bint needs_python, out_of_memory, was_failed
        PyThread_type_lock done
        ptrdiff_t drawn
        double *table
        const fa_draws *draws
        bitgen_t bits
        const uint32_t *seeds
        fa_ring *ring
        int64_t *slots
        const int64_t *files
        uint64_t file_draws[2]
        fa_failure *failures

    ctypedef struct fa_queue:
        PyThread_type_lock lock
        fa_task *first
        fa_event *event
        fa_event own_event
        fa_control *control
        ptrdiff_t threads

    ptrdiff_t fa_chunk_size(const fa_batch *batch, const fa_ring *ring)
    ptrdiff_t fa_put(fa_queue *queue, fa_task *task)
    void fa_cancel(fa_queue *queue, fa_task *task)
    void fa_fail_ring(fa_queue *queue, const fa_ring *ring)
    void fa_attach(fa_queue *queue, fa_control *control)
    void fa_draw_until(fa_task *task, ptrdiff_t position)
    fa_task *fa_take_ended(fa_queue *queue)
    fa_task *fa_drop_first(fa_queue *queue, bint *more)
    ptrdiff_t fa_first_failed(const fa_task *task, ptrdiff_t start, ptrdiff_t stop)
    bint fa_keep_failure(fa_task *task, ptrdiff_t position, fa_failure **kept)
    bint fa_run_chunk(fa_task *task, ptrdiff_t start, ptrdiff_t stop, ptrdiff_t threads,
                      float *work, fa_failure **kept)
    void fa_give_back(fa_queue *queue, fa_task *task, ptrdiff_t start, ptrdiff_t stop,
                      fa_failure *kept)
    void fa_end_some(fa_queue *queue, fa_task *task, ptrdiff_t count)
    fa_control *fa_begin_warp(fa_queue *queue)
    void fa_end_warp(fa_control *control)
    fa_task *fa_work(fa_queue *queue, long long microseconds, ptrdiff_t *start, ptrdiff_t *stop)

# The order of enum fa_border in border.h.
BORDERS = ("nearest", "reflect", "mirror", "grid-wrap", "wrap", "constant", "grid-constant")

# The order of enum fa_column in affine.h: Keras's columns of a parameter table.
COLUMNS = (
    "theta", "tx", "ty", "shear", "zx", "zy", "flip_horizontal", "flip_vertical",
    "channel_shift_intensity", "brightness",
)

# The parameters of an image that stays as it is: a table of one row.
IDENTITY = np.array([fa_no_parameters[k] for k in range(FA_COLUMNS)])[np.newaxis]
IDENTITY.setflags(write=False)

_TYPES = {
    np.dtype(name): code for name, code in (
        ("uint8", FA_UINT8), ("int8", FA_INT8), ("uint16", FA_UINT16), ("int16", FA_INT16),
        ("uint32", FA_UINT32), ("int32", FA_INT32), ("uint64", FA_UINT64), ("int64", FA_INT64),
        ("float16", FA_FLOAT16), ("float64", FA_FLOAT64), ("float32", FA_FLOAT32),
    )
}

CONVERTED = tuple([dtype for dtype in _TYPES if dtype not in (np.uint8, np.float32)])


cdef int _type_of(dtype):
    """What the loops call a type, in native byte order; FA_NO_TYPE: they do not know it."""
    return _TYPES.get(dtype, FA_NO_TYPE)


_VARIANTS = tuple([fa_variant_names[k].decode() for k in range(FA_VARIANTS)])


def simd_variants():
    """Names of the variants that this processor runs; see ``_core.pyi``."""
    return _VARIANTS[:fa_best_simd() + 1]


def select_simd(str variant):
    """Makes the core use one of them from now on; see ``_core.pyi``."""
    global fa_simd
    if variant not in simd_variants():
        raise ValueError(f"Expected one of {simd_variants()}. Received: {variant!r}")
    fa_simd = _VARIANTS.index(variant)


select_simd(_VARIANTS[fa_best_simd()])


OPS = tuple([fa_ops[k].name.decode() for k in range(FA_OPS)])

# Ops of an `augment` list, in the order of their numbers in a slot.
IMAGE_OPS = tuple([fa_image_ops[k].name.decode() for k in range(FA_IMAGE_OPS)])

# Columns of each, the last two those of its sampler if it moves pixels; and of a crop.
IMAGE_OP_COLUMNS = {
    fa_image_ops[k].name.decode(): fa_image_ops[k].columns for k in range(FA_IMAGE_OPS)
}
CROP_COLUMNS = FA_CROP_COLUMNS

# Those that are defined for floats, that move pixels, and that need one channel or three.
OPS_OF_FLOATS = frozenset([
    fa_image_ops[k].name.decode() for k in range(FA_IMAGE_OPS)
    if fa_image_ops[k].matrix != NULL or fa_image_ops[k].apply_floats != NULL
])
OPS_THAT_MOVE = frozenset([
    fa_image_ops[k].name.decode() for k in range(FA_IMAGE_OPS) if fa_image_ops[k].matrix != NULL
])
OPS_OF_COLOURS = frozenset([
    fa_image_ops[k].name.decode() for k in range(FA_IMAGE_OPS) if fa_image_ops[k].only_colours
])


@cython.final
cdef class Program:
    """What is done to the images of a batch; see ``_core.pyi`` for the arguments."""

    cdef fa_program c
    cdef fa_augment _augment
    cdef fa_step *_steps
    cdef fa_image_step *_image_steps
    cdef list _held
    cdef readonly object by_image

    def __cinit__(self, Py_ssize_t height, Py_ssize_t width, Py_ssize_t channels, steps=(),
                  standardization=(), *, function=None, bint channels_first=False,
                  bint is_bytes=False, bint truncates=False, int order=1, str border="nearest",
                  float cval=0.0, bytes fill=None, Py_ssize_t columns=FA_COLUMNS, augment=None,
                  crop=None, bint rounds=False, bint only_moves=False, by_image=None):
        cdef Py_ssize_t k
        self._held = [fill]
        if height < 1 or width < 1 or channels < 1:
            raise ValueError(f"An image has at least one pixel. Received: {height} x {width} x "
                             f"{channels}")
        if max(height, width) > 2**30:
            raise ValueError(f"Image sides go up to 2**30. Received: {height} x {width}")
        if not 0 <= order <= 5:
            raise ValueError(f"Interpolation orders go from 0 to 5. Received: order={order}")
        if is_bytes and order > 1 and augment is None:
            raise ValueError(f"Splines make float32 batches. Received: order={order}")
        if columns < FA_COLUMNS:
            raise ValueError(f"A table has at least {FA_COLUMNS} columns. Received: {columns}")
        self.c.form.height = height
        self.c.form.width = width
        self.c.form.channels = channels
        self.c.form.channels_first = channels_first
        self.c.form.is_bytes = is_bytes
        self.c.form.truncates = truncates
        self.c.sampler.order = order
        self.c.sampler.border = BORDERS.index(border)
        self.c.sampler.cval = cval
        self.c.columns = columns
        self.by_image = by_image
        steps, standardization = list(steps), list(standardization)
        if fill is not None:
            if not is_bytes or channels_first or steps or standardization or function is not None:
                raise ValueError("Pixels that are picked stay as they are: uint8 batches, channels "
                                 "last, and no steps")
            if len(fill) != channels:
                raise ValueError(f"Expected a byte for each of {channels} channels. Received: "
                                 f"{fill=}")
            self.c.sampler.fill = <const uint8_t *><const char *>fill
        functions = [] if function is None else [function]
        self.c.standardization = len(steps)
        self.c.after_function = len(steps) + len(functions)
        steps += functions + standardization
        self.c.count = len(steps)
        self._steps = <fa_step *>PyMem_RawCalloc(len(steps) + 1, sizeof(fa_step))
        if self._steps == NULL:
            raise MemoryError()
        self.c.steps = self._steps
        for k in range(len(steps)):
            self._set_step(&self._steps[k], steps[k])
            if k >= self.c.standardization and self._steps[k].op.columns:
                raise ValueError(f"Standardization is the same for all images. Received: "
                                 f"{steps[k]}")
            if k >= self.c.after_function and self._steps[k].op.needs_pixels:
                raise ValueError(f"Standardization is done to planes too. Received: {steps[k]}")
            if is_bytes and k < self.c.standardization and self._steps[k].op.map_uint8 == NULL:
                raise ValueError(f"This step makes float32 batches: {steps[k]}")
        if augment is not None:
            self._set_augment(list(augment), crop, rounds, only_moves)

    def __dealloc__(self):
        PyMem_RawFree(self._steps)
        PyMem_RawFree(self._image_steps)

    cdef int _set_augment(self, list steps, crop, bint rounds, bint only_moves) except -1:
        """Sets what is done around Keras's steps, from pairs of an op's name, or None for a slot,
        and its first column."""
        cdef Py_ssize_t k, column, columns
        cdef fa_image_step *step
        self._image_steps = <fa_image_step *>PyMem_RawCalloc(len(steps) + 1, sizeof(fa_image_step))
        if self._image_steps == NULL:
            raise MemoryError()
        for k in range(len(steps)):
            name, column = steps[k]
            step = &self._image_steps[k]
            if name is None:
                columns = 1
            else:
                if name not in IMAGE_OPS:
                    raise ValueError(f"Expected one of {IMAGE_OPS}. Received: {name!r}")
                step.op = &fa_image_ops[IMAGE_OPS.index(name)]
                columns = step.op.columns
                if (step.op.only_colours and not only_moves
                        and self.c.form.channels not in (1, 3)):
                    raise ValueError(f"{name} works on one or three channels. Received: "
                                     f"{self.c.form.channels}")
            if not 0 <= column <= self.c.columns - columns:
                raise IndexError(f"column {column} is out of bounds for {self.c.columns} columns")
            step.column = column
        self._augment.crop = -1
        if crop is not None:
            self._augment.crop = crop
            if not 0 <= self._augment.crop <= self.c.columns - FA_CROP_COLUMNS:
                raise IndexError(f"column {crop} is out of bounds for {self.c.columns} columns")
        self._augment.steps, self._augment.count = self._image_steps, len(steps)
        self._augment.rounds, self._augment.only_moves = rounds, only_moves
        fa_set_augment(&self.c, &self._augment)
        self.c.augment = &self._augment
        return 0

    cdef int _set_step(self, fa_step *step, dict constants) except -1:
        """Sets a step from the name of its op and its constants."""
        cdef Py_ssize_t k
        constants = dict(constants)
        name = constants.pop("op", None)
        if name not in OPS:
            raise ValueError(f"Expected one of {OPS}. Received: op={name!r}")
        k = OPS.index(name)
        step.op = &fa_ops[k]
        step.column = constants.pop("column", 0)
        if not 0 <= step.column <= self.c.columns - step.op.columns:
            raise IndexError(f"column {step.column} is out of bounds for {self.c.columns} columns")
        step.factor = constants.pop("factor", 1.0)
        step.reverses_channels = constants.pop("reverses_channels", False)
        step.scale = self._per_channel(constants.pop("scale", None))
        step.offset = self._per_channel(constants.pop("offset", None))
        if name == "linear" and (step.scale == NULL or step.offset == NULL):
            raise ValueError("A linear step has both a scale and an offset")
        if constants:
            raise TypeError(f"Unknown constants of a step: {', '.join(constants)}")
        return 0

    cdef const float *_per_channel(self, values) except? NULL:
        """The values of a constant for each channel, which this object keeps; NULL: there are
        none."""
        cdef cnp.ndarray array
        if values is None:
            return NULL
        array = np.array(values, dtype=np.float32, order="C")
        if (<object>array).shape != (self.c.form.channels,):
            raise ValueError(f"Expected one value for each of {self.c.form.channels} channels. "
                             f"Received shape: {(<object>array).shape}")
        self._held.append(array)
        return <const float *>cnp.PyArray_DATA(array)

    @property
    def shape(self):
        """The shape of one finished image."""
        cdef fa_form *form = &self.c.form
        if form.channels_first:
            return (form.channels, form.height, form.width)
        return (form.height, form.width, form.channels)

    @property
    def columns(self):
        """Columns of the parameter table."""
        return self.c.columns

    @property
    def is_bytes(self):
        """Whether it makes uint8 images; else float32."""
        return self.c.form.is_bytes


@cython.final
cdef class Draws:
    """The form of the numbers that an image draws; see ``_core.pyi``."""

    cdef fa_draws c
    cdef bitgen_t _bits
    cdef object _held
    cdef dict _undrawn
    cdef tuple _names, _kinds

    def __cinit__(self, columns, low, spread, flips, scale, base, choices, *, dict undrawn=None,
                  tuple kinds=()):
        cdef fa_draws *c = &self.c
        cdef Py_ssize_t k
        c.count = len(columns)
        if c.count > FA_COLUMNS or not c.count == len(low) == len(spread):
            raise ValueError(f"Expected bounds for at most {FA_COLUMNS} columns. Received: "
                             f"{len(columns)} columns, {len(low)} and {len(spread)} bounds")
        if not len(scale) == len(base) == FA_COLUMNS or len(flips) != 2:
            raise ValueError(f"Expected {FA_COLUMNS} scales, as many columns of the base and 2 "
                             f"flips. Received: {len(scale)}, {len(base)}, {len(flips)}")
        generator = np.random.MT19937(0)
        _state_in(generator)  # NumPy works on a state that is made here
        self._bits = _bits_of(generator)[0]
        self._held = [generator]
        for k in range(c.count):
            if not 0 <= columns[k] < FA_COLUMNS:
                raise IndexError(f"column {columns[k]} is out of bounds for {FA_COLUMNS} columns")
            c.column[k] = columns[k]
            c.low[k] = low[k]
            c.spread[k] = spread[k]
            c.choices[k] = 0
            c.chosen[k] = NULL
            choice = choices.get(columns[k])
            if choice is None:
                continue
            if np.ndim(choice) == 0:
                c.choices[k] = operator.index(choice)
            else:
                values = np.array(choice, dtype=np.float64)
                if values.ndim != 1:
                    raise ValueError(f"Expected a number or a sequence. Received: {choice!r}")
                self._held.append(values)
                c.choices[k] = <uint64_t>len(values)
                c.chosen[k] = <const double *>cnp.PyArray_DATA(<cnp.ndarray>values)
            if c.choices[k] == 0:
                raise ValueError(f"There is nothing to choose from in {choice!r}")
        for k in range(FA_COLUMNS):
            c.scale[k] = scale[k]
            c.base[k] = base[k]
        for k in range(2):
            c.flips[k] = flips[k]
        if undrawn is not None and len(kinds) != c.count:
            raise ValueError(f"Expected a kind for each of {c.count} numbers. Received: {kinds!r}")
        self._undrawn = undrawn
        self._names = tuple([COLUMNS[column] for column in columns])
        self._kinds = kinds

    def draw(self, stream, Py_ssize_t count):
        """The table of some images, from the next numbers of a stream."""
        generator = stream._bit_generator
        cdef bitgen_t *bits = _bits_of(generator)
        table = _new_table(count)
        with generator.lock:
            fa_draw_rows(&self.c, bits, count, <double *>cnp.PyArray_DATA(table))
        return table

    def draw_dict(self, stream, tx_scale=None, ty_scale=None):
        """The parameters of one image by name, from the next numbers of a stream."""
        cdef double row[FA_COLUMNS]
        generator = stream._bit_generator
        cdef bitgen_t *bits = _bits_of(generator)
        with generator.lock:
            fa_draw_rows(&self.c, bits, 1, row)
        if tx_scale is not None:
            row[FA_TX] *= tx_scale
        if ty_scale is not None:
            row[FA_TY] *= ty_scale
        return self._named(row)

    def to_dict(self, const double[::1] row not None):
        """The parameters of a row of a table by name."""
        if row.shape[0] != FA_COLUMNS:
            raise ValueError(f"Expected {FA_COLUMNS} columns. Received: {row.shape[0]}")
        return self._named(&row[0])

    cdef dict _named(self, const double *row):
        cdef dict named
        cdef Py_ssize_t k, column
        if self._undrawn is None:
            raise ValueError("Nobody said what kinds of numbers they are")
        named = self._undrawn.copy()
        for k in range(self.c.count):
            column = self.c.column[k]
            kind = self._kinds[k]
            if column == FA_FLIP_HORIZONTAL or column == FA_FLIP_VERTICAL:
                value = (row[column] != 0) * kind
            elif kind is None:
                value = row[column]
            else:
                value = kind(row[column])
            named[self._names[k]] = value
        return named

    def table(self, const double[:, ::1] values):
        """The table of images that drew these numbers."""
        cdef Py_ssize_t i
        if values.shape[1] != self.c.count:
            raise ValueError(f"Expected {self.c.count} values for each image. Received: "
                             f"{values.shape[1]}")
        table = _new_table(values.shape[0])
        cdef double *rows = <double *>cnp.PyArray_DATA(table)
        for i in range(values.shape[0]):
            fa_fill_row(&self.c, &values[i, 0], rows + i * FA_COLUMNS)
        return table


def state_of(generator):
    """The state of an MT19937 as bytes; see ``_core.pyi``."""
    cdef fa_mt19937 *state = _state_in(generator)
    with generator.lock:
        return (<char *>state)[:sizeof(fa_mt19937)]


def set_state(generator, bytes state not None, bytes expected=None):
    """Sets it; see ``_core.pyi``."""
    cdef fa_mt19937 *own = _state_in(generator)
    if len(state) != sizeof(fa_mt19937) or len(expected or state) != sizeof(fa_mt19937):
        raise ValueError(f"Expected states of {sizeof(fa_mt19937)} bytes")
    with generator.lock:
        if expected is not None and memcmp(own, <char *>expected, sizeof(fa_mt19937)):
            return False
        memcpy(own, <char *>state, sizeof(fa_mt19937))
    return True


cdef bint _layout_is_known = False


cdef fa_mt19937 *_state_in(generator) except NULL:
    """The state in the memory of an MT19937, of which NumPy promises nothing."""
    global _layout_is_known
    if type(generator) is not np.random.MT19937:
        raise TypeError(f"Expected an MT19937. Received: {generator!r}")
    if not _layout_is_known:
        _check_layout()
        _layout_is_known = True
    return <fa_mt19937 *>_bits_of(generator).state


cdef int _check_layout() except -1:
    """Has NumPy seed a stream and draw from it; both as in a state that is made here."""
    cdef fa_mt19937 own
    stream = np.random.RandomState(1)
    cdef bitgen_t *bits = _bits_of(stream._bit_generator)
    fa_seed(&own, 1)
    if memcmp(bits.state, &own, sizeof(fa_mt19937)) == 0:
        if (bits.next_double(&own) == stream.random_sample()
                and memcmp(bits.state, &own, sizeof(fa_mt19937)) == 0):
            return 0
    raise RuntimeError(f"The states of MT19937 in NumPy {np.__version__} are not as they were when "
                       "this version of fastaug was made")


cdef bitgen_t *_bits_of(generator) except NULL:
    return <bitgen_t *>PyCapsule_GetPointer(generator.capsule, "BitGenerator")


cdef cnp.ndarray _new_table(Py_ssize_t count):
    """A parameter table of any content."""
    cdef cnp.npy_intp shape[2]
    shape[0] = count
    shape[1] = FA_COLUMNS
    return cnp.PyArray_EMPTY(2, shape, cnp.NPY_DOUBLE, 0)


def same_attributes(owner, tuple names not None, tuple values not None, tuple items not None):
    """Whether an object has these very values; see ``_core.pyi``."""
    cdef Py_ssize_t i, k
    cdef tuple expected
    cdef list found
    if not len(names) == len(values) == len(items):
        raise ValueError(f"Expected {len(names)} values. Received: {len(values)}, {len(items)}")
    for k in range(len(names)):
        value = getattr(owner, names[k])
        if value is not values[k]:
            return False
        if items[k] is None:
            continue
        expected, found = items[k], value
        with cython.critical_section(found):
            if len(found) != len(expected):
                return False
            for i in range(len(expected)):
                if found[i] is not expected[i]:
                    return False
    return True


def same_items(list some not None, tuple others not None, const int64_t[::1] index not None):
    """Whether two sequences have the very same items at some indices; see ``_core.pyi``."""
    cdef Py_ssize_t k
    with cython.critical_section(some):
        for k in range(index.shape[0]):
            if not 0 <= index[k] < min(len(some), len(others)):
                return False
            if some[index[k]] is not others[index[k]]:
                return False
    return True


def philox_uniform(uint64_t seed, uint64_t stream, uint64_t epoch,
                   const int64_t[::1] samples not None, Py_ssize_t count):
    """Numbers in [0, 1) that belong to samples; see ``_core.pyi``."""
    cdef Py_ssize_t i
    cdef uint64_t[2] key
    if count < 0:
        raise ValueError(f"Expected a number of doubles. Received: {count}")
    numbers = np.empty((samples.shape[0], count), dtype=np.float64)
    cdef double *out = <double *>cnp.PyArray_DATA(<cnp.ndarray>numbers)
    key[0], key[1] = seed, stream
    with nogil:
        for i in range(samples.shape[0]):
            fa_philox_uniform(key, epoch, <uint64_t>samples[i], count, out + i * count)
    return numbers


MIX_COLUMNS = FA_MIX_COLUMNS


def mix(cnp.ndarray images not None, const int64_t[::1] order not None,
        const double[:, ::1] table not None, bint channels_first):
    """Mixes each image with the next one of an order; see ``_core.pyi``."""
    cdef Py_ssize_t i, k, count = images.shape[0], height, width, size
    cdef ptrdiff_t[4] shape
    cdef char *data = <char *>cnp.PyArray_DATA(images)
    cdef char *first
    cdef bint is_bytes = cnp.PyArray_TYPE(images) == cnp.NPY_UINT8
    cdef cnp.ndarray kept
    if images.ndim != 4 or not cnp.PyArray_ISCARRAY(images) or (
            not is_bytes and cnp.PyArray_TYPE(images) != cnp.NPY_FLOAT):
        raise ValueError(f"Expected contiguous uint8 or float32 images of rank 4. Received: "
                         f"{images.dtype} of shape {(<object>images).shape}")
    if order.shape[0] != count or table.shape[0] != count or table.shape[1] != FA_MIX_COLUMNS:
        raise ValueError(f"Expected an order and a table of {count} images")
    height, width = images.shape[2 if channels_first else 1], images.shape[3 if channels_first else 2]
    for i in range(count):
        if not 0 <= order[i] < count:
            raise IndexError(f"index {order[i]} is out of bounds for {count} images")
        if table[i, 1] == table[i, 1] and not (0 <= table[i, 1] <= table[i, 3] <= height
                                               and 0 <= table[i, 2] <= table[i, 4] <= width):
            raise IndexError(f"No such box in {height} x {width} pixels: {list(table[i])}")
    if count < 2:
        return
    shape[0] = images.shape[1] if channels_first else 1
    shape[1] = height
    shape[3] = images.itemsize * (1 if channels_first else images.shape[3])
    shape[2] = width * shape[3]
    size = shape[0] * shape[1] * shape[2]
    kept = images[order[0]].copy()
    first = <char *>cnp.PyArray_DATA(kept)
    with nogil:
        for k in range(count):
            i = order[k]
            fa_mix(data + i * size, data + order[k + 1] * size if k + 1 < count else first, shape,
                   is_bytes, &table[i, 0])


def affine_matrices(const double[:, ::1] table, Py_ssize_t height, Py_ssize_t width):
    """Matrices from output to source coordinates, (row, column); see ``_core.pyi``."""
    if table.shape[1] != FA_COLUMNS:
        raise ValueError(f"Expected {FA_COLUMNS} columns. Received: {table.shape[1]}")
    cdef Py_ssize_t i, n = table.shape[0]
    matrices = np.empty((n, 2, 3), dtype=np.float64)
    cdef double[:, :, ::1] m = matrices
    for i in range(n):
        fa_matrix(&table[i, 0], height, width, &m[i, 0, 0])
    return matrices


def augment(Program program not None, images not None, const int64_t[::1] index not None,
            const double[:, ::1] table not None, const double[:, :, ::1] matrices,
            cnp.ndarray out not None, Py_ssize_t start, Py_ssize_t stop, bint standardize=True):
    """Augments images ``index[start:stop]`` into ``out[start:stop]``; see ``_core.pyi``."""
    cdef Py_ssize_t i
    cdef fa_batch batch
    cdef Sources sources = Sources(program, images)
    cdef void *results = cnp.PyArray_DATA(out)
    sources.lend(&batch, out, standardize)
    if not 0 <= start <= stop <= min(out.shape[0], index.shape[0], table.shape[0],
                                     stop if matrices is None else matrices.shape[0]):
        raise ValueError(f"No slice {start}:{stop} of a batch of {out.shape[0]}")
    if table.shape[1] != program.c.columns or (matrices is not None
                                               and not (matrices.shape[1] == 2
                                                        and matrices.shape[2] == 3)):
        raise ValueError("Expected a parameter table and 2x3 matrices")
    if start == stop:
        return
    batch.index = &index[0]
    batch.table = &table[0, 0]
    batch.matrices = &matrices[0, 0, 0] if matrices is not None else NULL
    batch.size = stop
    batch.outs = &results
    batch.out_size = stop
    _check_index(&batch, start, stop)
    if program.by_image is None:
        work_array = np.empty(fa_work_values(&batch), dtype=np.float32)
        with nogil:
            fa_run(&batch, start, stop, 1, <float *>cnp.PyArray_DATA(<cnp.ndarray>work_array))
        return
    for i in range(start, stop):
        _call_by_image(program, sources, &batch, i, out, i)


cdef int _call_by_image(Program program, Sources sources, const fa_batch *batch,
                        Py_ssize_t position, cnp.ndarray out, Py_ssize_t row_of_out) except -1:
    """Has Python code do what fa_run does with an image."""
    row = np.empty(program.c.columns)
    memcpy(cnp.PyArray_DATA(<cnp.ndarray>row), batch.table + position * program.c.columns,
           program.c.columns * sizeof(double))
    program.by_image(sources._held[batch.index[position]], row, batch.standardize, out[row_of_out])
    return 0


def convert(cnp.ndarray source not None, cnp.ndarray out not None):
    """Does ``out[...] = source``; see ``_core.pyi``."""
    cdef int kind = cnp.PyArray_TYPE(source), out_kind = cnp.PyArray_TYPE(out)
    cdef Py_ssize_t size = cnp.PyArray_SIZE(source)
    cdef bint overflows
    cdef cnp.ndarray values
    if not _is_alike(source, out) or _may_overlap(source, out):
        out[...] = source
    elif kind == out_kind:
        if not cnp.PyArray_ISCARRAY(out):
            out[...] = source
        elif cnp.PyArray_ISCARRAY_RO(source):
            with nogil:
                memcpy(cnp.PyArray_DATA(out), cnp.PyArray_DATA(source),
                       size * cnp.PyArray_ITEMSIZE(source))
        elif source.ndim == 3:  # NumPy takes long where pixels are in another order
            with nogil:
                fa_gather(<char *>cnp.PyArray_DATA(source), <ptrdiff_t *>source.shape,
                          <ptrdiff_t *>source.strides, cnp.PyArray_ITEMSIZE(source),
                          <char *>cnp.PyArray_DATA(out))
        else:
            out[...] = source
    elif not (_is_of_halves(kind, out_kind) and cnp.PyArray_ISCARRAY_RO(source)):
        out[...] = source
    elif not cnp.PyArray_ISCARRAY(out):
        values = np.empty((<object>out).shape, dtype=out.dtype)
        convert(source, values)
        out[...] = values
    elif out_kind == cnp.NPY_FLOAT:
        with nogil:
            fa_to_floats(FA_FLOAT16, cnp.PyArray_DATA(source), size,
                         <float *>cnp.PyArray_DATA(out))
    elif kind == cnp.NPY_FLOAT16:
        values = np.empty((<object>source).shape, dtype=np.float32)
        convert(source, values)
        out[...] = values
    else:
        values = source
        if kind != cnp.NPY_DOUBLE:
            values = source.astype(np.float32, copy=False)
        with nogil:
            if kind == cnp.NPY_DOUBLE:
                overflows = fa_doubles_to_halves(<double *>cnp.PyArray_DATA(values), size,
                                                 <uint16_t *>cnp.PyArray_DATA(out))
            else:
                overflows = fa_floats_to_halves(<float *>cnp.PyArray_DATA(values), size,
                                                <uint16_t *>cnp.PyArray_DATA(out))
        if overflows:
            out[...] = source  # and says so


cdef bint _is_of_halves(int kind, int out_kind):
    """Whether float16 is made, of what float32 or float64 holds; or is made float32 or float64."""
    if out_kind == cnp.NPY_FLOAT16:
        return kind != cnp.NPY_LONGDOUBLE
    return kind == cnp.NPY_FLOAT16 and (out_kind == cnp.NPY_FLOAT or out_kind == cnp.NPY_DOUBLE)


cdef bint _is_alike(cnp.ndarray source, cnp.ndarray out) except -1:
    """Whether both hold as many numbers, in the processor's byte order."""
    cdef int k
    if source.ndim != out.ndim or source.dtype.kind not in "biuf" or out.dtype.kind not in "biuf":
        return False
    for k in range(source.ndim):
        if source.shape[k] != out.shape[k]:
            return False
    return cnp.PyArray_ISNOTSWAPPED(source) and cnp.PyArray_ISNOTSWAPPED(out)


cdef bint _may_overlap(cnp.ndarray source, cnp.ndarray out) noexcept:
    """Whether two arrays may have memory in common."""
    cdef const char *low = <const char *>cnp.PyArray_DATA(source)
    cdef const char *other_low = <const char *>cnp.PyArray_DATA(out)
    cdef const char *high = low + cnp.PyArray_ITEMSIZE(source)
    cdef const char *other_high = other_low + cnp.PyArray_ITEMSIZE(out)
    _reach(source, &low, &high)
    _reach(out, &other_low, &other_high)
    return low < other_high and other_low < high


cdef void _reach(cnp.ndarray array, const char **low, const char **high) noexcept:
    """Moves the ends of an array's first element to those of all of them."""
    cdef int k
    cdef Py_ssize_t way
    for k in range(array.ndim):
        way = (array.shape[k] - 1) * array.strides[k]
        if way < 0:
            low[0] += way
        else:
            high[0] += way


def place(cnp.ndarray images not None, const int64_t[::1] index not None,
          const double[:, ::1] table not None, cnp.ndarray out not None, bint channels_first):
    """Puts images into a batch and flips them there; see ``_core.pyi``."""
    cdef Py_ssize_t i
    cdef cnp.ndarray image
    if table.shape[1] != FA_COLUMNS or not index.shape[0] == table.shape[0] == out.shape[0]:
        raise ValueError(f"Expected an index and a table for {out.shape[0]} images")
    for i in range(index.shape[0]):
        image = out[i]
        convert(images[index[i]], image)
        flip(image, channels_first, table[i, FA_FLIP_HORIZONTAL] != 0,
             table[i, FA_FLIP_VERTICAL] != 0)


def flip(cnp.ndarray image not None, bint channels_first, bint horizontal, bint vertical):
    """Flips an image in place; see ``_core.pyi``."""
    cdef Py_ssize_t k, planes = 1, bytes_ = image.itemsize
    cdef Py_ssize_t height, width
    cdef char *data = <char *>cnp.PyArray_DATA(image)
    if image.ndim != 3 or not cnp.PyArray_ISCARRAY(image):
        raise ValueError("Expected a contiguous image of rank 3")
    if channels_first:
        planes, height, width = image.shape[0], image.shape[1], image.shape[2]
    else:
        height, width = image.shape[0], image.shape[1]
        bytes_ *= image.shape[2]
    if not (horizontal or vertical) or not bytes_:
        return
    with nogil:
        for k in range(planes):
            fa_flip(data + k * height * width * bytes_, height, width, bytes_, horizontal, vertical)


def multiply(x, values):
    """``x * values`` in place; see ``_core.pyi``."""
    if not _combine(x, values, FA_MULTIPLY):
        x *= values
    return x


def subtract(x, values):
    """``x - values`` in place; see ``_core.pyi``."""
    if not _combine(x, values, FA_SUBTRACT):
        x -= values
    return x


def divide(x, values):
    """``x / values`` in place; see ``_core.pyi``."""
    if not _combine(x, values, FA_DIVIDE):
        x /= values
    return x


cdef bint _combine(x, values, int operation) except -1:
    """Whether the loops could do it: with arrays of floats, and one axis of values at most."""
    cdef cnp.ndarray array, others
    cdef int kind
    cdef float number
    cdef double double_number
    cdef Py_ssize_t k, axis, outer = 1, count = 1, inner = 1
    cdef const void *value
    if type(x) is not np.ndarray or not cnp.PyArray_ISCARRAY(<cnp.ndarray>x):
        return False
    array = x
    kind = cnp.PyArray_TYPE(array)
    if cnp.PyArray_SIZE(array) == 0:
        return False
    if kind != cnp.NPY_FLOAT and kind != cnp.NPY_DOUBLE and kind != cnp.NPY_FLOAT16:
        return False
    if type(values) is float or type(values) is int:
        inner = array.size
        double_number = values
        number = <float>double_number
        if kind == cnp.NPY_FLOAT16:
            number = np.float16(double_number)
        value = <const void *>&double_number if kind == cnp.NPY_DOUBLE else <const void *>&number
    else:
        if type(values) is not np.ndarray:
            return False
        others = values
        # narrower ones become what they would be in between
        if others.dtype.kind != "f" or others.itemsize > array.itemsize:
            return False
        if others.ndim > array.ndim:
            return False
        axis = array.ndim
        for k in range(others.ndim):
            if others.shape[k] != 1:
                if axis != array.ndim:
                    return False
                axis = array.ndim - others.ndim + k
                count = others.shape[k]
                if count != array.shape[axis]:
                    return False
        for k in range(array.ndim):
            if k < axis:
                outer *= array.shape[k]
            elif k > axis:
                inner *= array.shape[k]
        others = np.ascontiguousarray(
            others, dtype=np.float64 if kind == cnp.NPY_DOUBLE else np.float32
        )
        value = cnp.PyArray_DATA(others)
    with nogil:
        if kind == cnp.NPY_FLOAT:
            fa_combine_floats(<float *>cnp.PyArray_DATA(array), outer, count, inner,
                              <const float *>value, operation)
        elif kind == cnp.NPY_DOUBLE:
            fa_combine_doubles(<double *>cnp.PyArray_DATA(array), outer, count, inner,
                               <const double *>value, operation)
        else:
            fa_combine_halves(<uint16_t *>cnp.PyArray_DATA(array), outer, count, inner,
                              <const float *>value, operation)
    return True


def mean_of(x):
    """The mean of all values of an array; see ``_core.pyi``."""
    cdef double total
    cdef cnp.ndarray array = _array_of_floats(x)
    if array is None:
        return np.mean(x, keepdims=True)
    with nogil:
        total = _sum_of(array)
    return total / array.size


def std_of(x):
    """The standard deviation of all values of an array; see ``_core.pyi``."""
    cdef double mean, squares
    cdef cnp.ndarray array = _array_of_floats(x)
    if array is None:
        return np.std(x, keepdims=True)
    with nogil:
        mean = _sum_of(array) / cnp.PyArray_SIZE(array)
        if cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT:
            squares = fa_sum_squares(<float *>cnp.PyArray_DATA(array), cnp.PyArray_SIZE(array),
                                     <float>mean)
        else:
            squares = fa_sum_square_doubles(<double *>cnp.PyArray_DATA(array),
                                            cnp.PyArray_SIZE(array), mean)
    return sqrt(squares / array.size)


cdef cnp.ndarray _array_of_floats(x):
    """An array of float32 or float64 that lies in one piece; None: it is another."""
    if type(x) is not np.ndarray or not cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>x):
        return None
    kind = cnp.PyArray_TYPE(<cnp.ndarray>x)
    return x if (kind == cnp.NPY_FLOAT or kind == cnp.NPY_DOUBLE) and x.size else None


cdef double _sum_of(cnp.ndarray array) noexcept nogil:
    if cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT:
        return fa_sum(<float *>cnp.PyArray_DATA(array), cnp.PyArray_SIZE(array))
    return fa_sum_doubles(<double *>cnp.PyArray_DATA(array), cnp.PyArray_SIZE(array))


def brighten(cnp.ndarray image not None, double factor):
    """Changes the brightness of an image of 0..255 in place; see ``_core.pyi``."""
    cdef Py_ssize_t channels = 1
    if cnp.PyArray_TYPE(image) != cnp.NPY_FLOAT or not cnp.PyArray_ISCARRAY(image):
        raise ValueError(f"Expected a contiguous float32 image. Received: {image.dtype}")
    if image.ndim != 3:
        raise ValueError(f"Expected rank 3. Received shape: {(<object>image).shape}")
    if image.shape[2] == 4:
        channels = 4
    with nogil:
        fa_brightness(<float *>cnp.PyArray_DATA(image), cnp.PyArray_SIZE(image), channels, factor,
                      0, 255)


def exact_warp(cnp.ndarray image not None, const double[:, :] matrix not None, int order,
               str border, double cval, bint channels_first):
    """Warps an image to the bits of ``scipy.ndimage``; see ``_core.pyi``."""
    cdef fa_layout at
    cdef double m[6]
    cdef int type_ = _type_of(image.dtype), border_ = BORDERS.index(border)
    cdef Py_ssize_t k, size = image.size
    cdef cnp.ndarray pixels, warped, out
    if image.ndim != 3 or matrix.shape[0] != 2 or matrix.shape[1] != 3:
        raise ValueError("Expected an image of rank 3 and a 2x3 matrix")
    if type_ == FA_NO_TYPE or type_ == FA_FLOAT16 or order not in (0, 1) or size == 0:
        return None
    if type_ != FA_FLOAT64 and cval != cval:
        return None
    pixels = np.ascontiguousarray(image, dtype=np.float64)
    if channels_first:
        at.channels, at.height, at.width = pixels.shape[0], pixels.shape[1], pixels.shape[2]
        at.row, at.column, at.channel = at.width, 1, at.height * at.width
    else:
        at.height, at.width, at.channels = pixels.shape[0], pixels.shape[1], pixels.shape[2]
        at.row, at.column, at.channel = at.width * at.channels, at.channels, 1
    for k in range(2):
        m[3 * k], m[3 * k + 1], m[3 * k + 2] = matrix[k, 0], matrix[k, 1], matrix[k, 2]
        if not (fabs(m[3 * k]) * at.height + fabs(m[3 * k + 1]) * at.width + fabs(m[3 * k + 2])
                < 2147483648.0):
            return None
    warped = np.empty((<object>pixels).shape, dtype=np.float64)
    with nogil:
        fa_exact_warp(<double *>cnp.PyArray_DATA(pixels), &at, order, border_, cval, m,
                      <double *>cnp.PyArray_DATA(warped))
    if type_ == FA_FLOAT64:
        return warped
    if type_ == FA_INT64 or type_ == FA_UINT64:
        # what is beyond becomes whatever SciPy's compiler made of it
        if not warped.max() < (9223372036854775808.0 if type_ == FA_INT64
                               else 18446744073709551616.0):
            return None
    out = np.empty((<object>pixels).shape, dtype=image.dtype)
    with nogil:
        fa_from_doubles(type_, <double *>cnp.PyArray_DATA(warped), size, cnp.PyArray_DATA(out))
    return out


def standardize(Program program not None, cnp.ndarray out not None, Py_ssize_t start,
                Py_ssize_t stop):
    """Standardizes ``out[start:stop]`` in place; see ``_core.pyi``."""
    cdef Py_ssize_t i, size = fa_form_size(&program.c.form)
    if program.c.form.is_bytes:
        raise ValueError("A uint8 batch cannot be standardized")
    _check_output(program, out)
    if not 0 <= start <= stop <= out.shape[0]:
        raise ValueError(f"No slice {start}:{stop} of a batch of {out.shape[0]}")
    cdef float *target = <float *>cnp.PyArray_DATA(out)
    with nogil:
        for i in range(start, stop):
            fa_standardize(&program.c, target + i * size)


def pick_pixels(const uint8_t[:, :, ::1] image, const int32_t[::1] rows,
                const int32_t[::1] columns, uint8_t[:, :, ::1] out):
    """Copies the pixels at some rows and columns of an RGB image; see ``_core.pyi``."""
    cdef Py_ssize_t i
    cdef int32_t before = 0
    if image.shape[2] != 3 or out.shape[2] != 3:
        raise ValueError(f"Expected three channels. Received: {image.shape[2]}, {out.shape[2]}")
    if out.shape[0] != rows.shape[0] or out.shape[1] != columns.shape[0]:
        raise ValueError(f"No room for {rows.shape[0]} x {columns.shape[0]} pixels in "
                         f"{out.shape[0]} x {out.shape[1]}")
    for i in range(rows.shape[0]):
        if not 0 <= rows[i] < image.shape[0]:
            raise IndexError(f"row {rows[i]} is out of bounds for {image.shape[0]} rows")
    for i in range(columns.shape[0]):
        if not before <= columns[i] < image.shape[1]:
            raise IndexError(f"column {columns[i]} is out of bounds for {image.shape[1]} columns, "
                             "or before the last one")
        before = columns[i]
    if rows.shape[0] and columns.shape[0]:
        with nogil:
            fa_pick_pixels(&image[0, 0, 0], 3 * image.shape[1], image.shape[1], &rows[0],
                           rows.shape[0], &columns[0], columns.shape[0], &out[0, 0, 0])


# The order of enum fa_filter in resample.h.
FILTERS = ("box", "bilinear", "hamming", "bicubic", "lanczos")


@cython.final
cdef class ResampleWeights:
    """The weights of the pixels along one axis; see ``_core.pyi``."""

    cdef fa_weights c
    cdef Py_ssize_t _length
    cdef bint _is_identity
    cdef cnp.ndarray _memory

    def __cinit__(self, str filter_ not None, Py_ssize_t length, float start, float stop,
                  Py_ssize_t size):
        cdef int number
        cdef Py_ssize_t taps
        cdef int32_t *memory
        cdef cnp.ndarray values
        if filter_ not in FILTERS:
            raise ValueError(f"Expected one of {FILTERS}. Received: {filter_!r}")
        if not (0 < size <= 2**30 and 0 < length <= 2**30 and 0 <= start <= stop <= length):
            raise ValueError(f"Expected a stretch of {length} pixels, and a size from 1. Received: "
                             f"{start} to {stop}, {size} pixels")
        number = FILTERS.index(filter_)
        self._length = length
        self._is_identity = size == length and start == 0 and stop == size
        taps = fa_count_taps(number, start, stop, size)
        if taps > 2**24 or size * (2 * taps + 2) > 2**31:
            raise MemoryError(f"{size} pixels of {taps} weights each")
        self._memory = np.empty(size * (2 * taps + 2), dtype=np.int32)
        values = np.empty(taps, dtype=np.float64)
        memory = <int32_t *>cnp.PyArray_DATA(self._memory)
        self.c.size, self.c.taps = size, taps
        self.c.first, self.c.count = memory, memory + size
        self.c.weight, self.c.halves = memory + 2 * size, memory + (2 + taps) * size
        with nogil:
            fa_set_weights(number, length, start, stop, size, taps,
                           <double *>cnp.PyArray_DATA(values), memory, memory + size,
                           memory + 2 * size, memory + (2 + taps) * size)


def resample(cnp.ndarray image not None, ResampleWeights rows not None,
             ResampleWeights columns not None, cnp.ndarray out not None, bint rows_first=False):
    """Resizes an image; see ``_core.pyi``."""
    cdef const fa_weights *r = NULL if rows._is_identity else &rows.c
    cdef const fa_weights *c = NULL if columns._is_identity else &columns.c
    cdef Py_ssize_t height, width, channels, stride
    cdef cnp.ndarray memory
    if (image.ndim != 3 or cnp.PyArray_TYPE(image) != cnp.NPY_UINT8
            or out.ndim != 3 or cnp.PyArray_TYPE(out) != cnp.NPY_UINT8):
        raise ValueError(f"Expected uint8 images of rank 3. Received: {image.dtype} of shape "
                         f"{(<object>image).shape} and {out.dtype} of shape {(<object>out).shape}")
    height, width, channels = image.shape[0], image.shape[1], image.shape[2]
    stride = image.strides[0]
    if (channels < 1 or height != rows._length or width != columns._length
            or (channels > 1 and image.strides[2] != 1)
            or (width > 1 and image.strides[1] != channels)
            or (height > 1 and stride < width * channels)):
        raise ValueError(f"Expected an image of {rows._length} x {columns._length} pixels, and "
                         f"each row in one piece. Received shape: {(<object>image).shape}, "
                         f"strides: {(<object>image).strides}")
    if (out.shape[0] != rows.c.size or out.shape[1] != columns.c.size
            or out.shape[2] != channels or not cnp.PyArray_ISCARRAY(out)):
        raise ValueError(f"Expected a contiguous result of shape "
                         f"{(rows.c.size, columns.c.size, channels)}. Received: "
                         f"{(<object>out).shape}")
    if _may_overlap(image, out):
        raise ValueError("The result may not share memory with the image")
    if r == NULL and c == NULL:
        out[...] = image
        return
    memory = np.empty(fa_resample_bytes(width, channels, r, c, rows_first), dtype=np.uint8)
    with nogil:
        fa_resample(<const uint8_t *>cnp.PyArray_DATA(image), stride, height, width, channels, r, c,
                    rows_first, <uint8_t *>cnp.PyArray_DATA(memory),
                    <uint8_t *>cnp.PyArray_DATA(out))


def read_jpeg(bytes data not None, int64_t most_pixels):
    """Height, width and more of a JPEG that OpenCV decodes as Pillow does; see ``_core.pyi``."""
    cdef fa_jpeg jpeg
    if not fa_read_jpeg(<const uint8_t *><const char *>data, <size_t>len(data), most_pixels,
                        &jpeg):
        return None
    return jpeg.height, jpeg.width, jpeg.has_metadata != 0


MOST_READERS = FA_READERS


def is_abandoned(uint32_t word):
    """Whether nobody wants what a slot with this word is for."""
    return word & FA_ABANDONED != 0


@cython.final
cdef class MemoryFile:
    """A file in memory; see ``_core.pyi``."""

    cdef readonly int fd
    cdef long process

    def __cinit__(self, const char *name):
        self.process = fa_current_process()
        # owned as soon as it is there: Ctrl-C may come between any two steps of Python
        self.fd = fa_memory_file(name)
        if self.fd < 0:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        if self.fd >= 0 and self.process == fa_current_process():
            fa_close(self.fd)

    @property
    def path(self):
        """Where other processes find it."""
        return f"/proc/{self.process}/fd/{self.fd}"


@cython.final
cdef class Control:
    """What the readers of some rings and the program tell each other; see ``_core.pyi``."""

    cdef fa_control *c
    cdef const uint8_t[::1] _memory
    cdef int _generation
    cdef bint _taken[FA_ENTRIES]  # until nothing of a ring looks at its entry any more

    def __cinit__(self, memory, readers=None, cores=None):
        cdef uint32_t count
        self._generation = _forks
        self._memory = memory
        if self._memory.shape[0] < <Py_ssize_t>fa_control_bytes(0):
            raise ValueError(f"No room for a control block in {self._memory.shape[0]} bytes")
        self.c = <fa_control *>&self._memory[0]
        if readers is not None:
            if not 1 <= readers <= FA_READERS:
                raise ValueError(f"Expected 1 to {FA_READERS} readers. Received: {readers}")
            self.c.readers = readers
            self.c.cores = cores
            self.c.limit = min(readers, cores)
            self.c.most_pixels = -1
        count = self.c.readers
        if self._memory.shape[0] < <Py_ssize_t>fa_control_bytes(count):
            raise ValueError(f"No room for {count} readers in {self._memory.shape[0]} bytes")

    @staticmethod
    def bytes_for(readers):
        """Bytes of a control block."""
        return fa_control_bytes(readers)

    @property
    def limit(self):
        """Readers and warping threads that may work at a time."""
        return fa_load32(&self.c.limit)

    def wanted(self, uint32_t kind):
        """Readers of a kind that there should be: `limit`, and one for each that hangs."""
        return min(fa_load32(&self.c.limit) + fa_hung(self.c, kind), self.c.readers)

    def allowed(self, uint32_t kind):
        """Readers of a kind that may take a file now."""
        return min(fa_allowed(self.c, kind), self.c.readers)

    cpdef void account(self, double reading, double in_all) noexcept:
        """Takes the seconds of a file into account, and those for which the disk was waited for."""
        fa_account(self.c, reading, in_all)

    cpdef void account_thread(self, double seconds) noexcept:
        """Takes the seconds of a core into account that a thread had for a file."""
        fa_account_thread(self.c, seconds)

    @property
    def warping(self):
        """Threads of the program that are at work."""
        return fa_load32(&self.c.warping)

    def open(self, Ring ring not None, int kind, bytes path not None, uint64_t device,
             uint64_t inode):
        """Makes a ring known to the readers."""
        if len(path) >= FA_PATH_BYTES:
            raise OSError(f"The path of the memory is longer than {FA_PATH_BYTES - 1} bytes: "
                          f"{os.fsdecode(path)}")
        if ring.c.free_slots != NULL:
            raise ValueError("This ring has its entry")
        self._open(ring, kind, path, device, inode)

    @cython.critical_section
    cdef int _open(self, Ring ring, int kind, bytes path, uint64_t device,
                   uint64_t inode) except -1:
        cdef uint32_t k, generation
        cdef fa_entry *entry
        for k in range(<uint32_t>FA_ENTRIES):
            if not self._taken[k]:
                break
        else:
            raise OSError(f"More than {FA_ENTRIES} iterators read files at the same time")
        entry = &self.c.entry[k]
        # of the ring that was here before; a reader may still look at its numbers
        generation = <uint32_t>(entry.submitted >> 48) % 0xFFFF + 1
        entry.kind = kind
        entry.device = device
        entry.inode = inode
        entry.size = ring._memory.shape[0]
        memcpy(entry.path, <const char *>path, len(path) + 1)
        ring._own_slots()
        ring._join(self, k, generation)
        self._taken[k] = True
        ring.c.next = <uint64_t>generation << 48
        fa_store64(&entry.claimed, ring.c.next)
        fa_store64(&entry.submitted, ring.c.next)
        if fa_load32(&self.c.entries) <= k:
            fa_store32(&self.c.entries, k + 1)
        fa_store32(&entry.generation, generation)
        return 0

    def close(self, Ring ring not None):
        """Makes a ring unknown: its batches end, and its readers let go of it."""
        cdef uint32_t k
        if self._generation != _forks:
            return
        fa_store32(&ring.c.entry.generation, 0)
        ring.fail_batches(RuntimeError("The files of this batch are not read any more"))
        for k in range(2 * self.c.readers):
            fa_wake_reader(&self.c.reader[k])

    def entry(self, uint32_t k):
        """`(generation, path, device, inode, size)` of the memory of a ring."""
        cdef fa_entry *entry = &self.c.entry[k]
        return (fa_load32(&entry.generation), <bytes>entry.path, entry.device, entry.inode,
                entry.size)

    def join(self, Ring ring not None, uint32_t k, uint32_t generation):
        """Makes a ring that this process has mapped the one of an entry."""
        ring._join(self, k, generation)

    def wake(self):
        """Wakes all who may wait for something: after the death of a reader."""
        fa_event_signal(&self.c.ready, 1 << 30)
        fa_wake_readers(self.c)

    def stop(self):
        """Has the readers in threads come to an end."""
        cdef uint32_t k
        fa_store32(&self.c.stopped, 1)
        for k in range(self.c.readers):
            fa_wake_reader(&self.c.reader[FA_THREADS * self.c.readers + k])

    def has_work(self, int kind):
        """Whether files wait for a reader of a kind."""
        cdef uint32_t k
        for k in range(fa_load32(&self.c.entries)):
            if self.c.entry[k].kind == <uint32_t>kind and fa_unclaimed(&self.c.entry[k]):
                return True
        return False

    def claims(self):
        """A number that changes when a reader takes a file."""
        cdef uint32_t k
        cdef uint64_t total = 0
        for k in range(fa_load32(&self.c.entries)):
            total += fa_load64(&self.c.entry[k].claimed)
        return total

    def busy(self, uint32_t reader):
        """What a reader is busy with: a number that is another one for each file, or 0."""
        return fa_load64(&self.c.reader[reader].busy)

    def owes(self, uint32_t reader):
        """Whether a reader has a file to read before all else."""
        return fa_load64(&self.c.reader[reader].redo) != 0

    def forget(self, uint32_t reader):
        """Makes a dead reader's record that of the next one; what it owes stays."""
        cdef fa_reader *record = &self.c.reader[reader]
        fa_store32(&record.wakes.asleep, 0)
        fa_store64(&record.busy, 0)

    @property
    def pillow(self):
        """Pillow's `(MAX_IMAGE_PIXELS, LOAD_TRUNCATED_IMAGES)` in the program."""
        cdef int64_t limit = <int64_t>fa_load64(<const uint64_t *>&self.c.most_pixels)
        return None if limit < 0 else limit, fa_load32(&self.c.load_truncated) != 0

    @pillow.setter
    def pillow(self, values):
        limit, truncated = values
        # a limit below 0 is one that every image is above
        limit = -1 if limit is None else int(max(0, min(limit, 2**62)))
        fa_store64(<uint64_t *>&self.c.most_pixels, <uint64_t><int64_t>limit)
        fa_store32(&self.c.load_truncated, bool(truncated))


@cython.final
@cython.no_gc_clear  # what is freed last looks at the control block
cdef class Ring:
    """Slots for decoded images, and the paths of the files; see ``_core.pyi``."""

    cdef object __weakref__
    cdef fa_ring c
    cdef uint8_t[::1] _memory
    cdef Control _control
    cdef TaskQueue _queue
    cdef int _generation
    cdef public object failure
    cdef public object view

    def __cinit__(self, memory):
        cdef fa_ring_header *header
        self._generation = _forks
        self._memory = memory
        if self._memory.shape[0] < <Py_ssize_t>sizeof(fa_ring_header):
            raise ValueError(f"No room for a ring in {self._memory.shape[0]} bytes")
        header = <fa_ring_header *>&self._memory[0]
        if <uint64_t>self._memory.shape[0] < fa_ring_layout(header, <char *>header, &self.c):
            raise ValueError(f"No room for {header.slots} slots in {self._memory.shape[0]} bytes")

    def __dealloc__(self):
        if self.c.free_slots != NULL and self.c.control != NULL and self._generation == _forks:
            if fa_load32(&self.c.entry.generation) == self.c.generation:  # an interrupted start
                fa_store32(&self.c.entry.generation, 0)
            self._control._taken[self.c.entry - self.c.control.entry] = False
        PyMem_RawFree(self.c.free_slots)
        PyMem_RawFree(self.c.abandoned)

    @staticmethod
    def bytes_for(uint64_t slots, uint64_t slot_bytes, uint64_t files, uint64_t name_bytes,
                  uint64_t about_bytes):
        """Bytes of a ring."""
        cdef fa_ring_header header
        header.slots = slots
        header.slot_bytes = slot_bytes
        header.files = files
        header.name_bytes = name_bytes
        header.about_bytes = about_bytes
        return fa_ring_layout(&header, NULL, NULL)

    @staticmethod
    def create(memory, uint64_t slots, uint64_t slot_bytes, const uint64_t[::1] offsets not None,
               bytes names not None, bytes about not None):
        """A ring in memory that is zero."""
        cdef uint8_t[::1] view = memory
        cdef fa_ring_header *header = <fa_ring_header *>&view[0]
        cdef Ring ring
        if not slots or slot_bytes % 64 or offsets[offsets.shape[0] - 1] != <uint64_t>len(names):
            raise ValueError(f"Expected slots of a multiple of 64 bytes and the end of the names. "
                             f"Received: {slots} slots of {slot_bytes} bytes")
        header.slots = slots
        header.slot_bytes = slot_bytes
        header.files = offsets.shape[0] - 1
        header.name_bytes = len(names)
        header.about_bytes = len(about)
        ring = Ring(memory)
        memcpy(ring.c.offsets, &offsets[0], offsets.shape[0] * sizeof(uint64_t))
        memcpy(ring.c.names, <const char *>names, len(names))
        memcpy(ring.c.about, <const char *>about, len(about))
        return ring

    cdef int _own_slots(self) except -1:
        """Makes this the program's side, which has all slots to lend."""
        cdef uint32_t k
        self.c.free_slots = <int32_t *>PyMem_RawCalloc(self.c.slots, sizeof(int32_t))
        self.c.abandoned = <int32_t *>PyMem_RawCalloc(self.c.slots, sizeof(int32_t))
        if self.c.free_slots == NULL or self.c.abandoned == NULL:
            raise MemoryError()
        self.c.free_count = self.c.slots
        for k in range(self.c.slots):
            self.c.free_slots[k] = self.c.slots - 1 - k
        return 0

    cdef int _join(self, Control control, uint32_t k, uint32_t generation) except -1:
        if k >= FA_ENTRIES:
            raise IndexError(f"There are {FA_ENTRIES} entries. Received: {k}")
        self._control = control
        self.c.control = control.c
        self.c.entry = &control.c.entry[k]
        self.c.generation = generation
        return 0

    @property
    def about(self):
        """What readers have to know of the images, in the words of who made the ring."""
        return self.c.about[:self.c.header.about_bytes]

    @property
    def images_at(self):
        """Bytes before the images, and from one to the next."""
        return self.c.images - <char *>&self._memory[0], self.c.header.slot_bytes

    @property
    def entry(self):
        """Number of the ring in its control block."""
        return self.c.entry - self._control.c.entry

    @property
    def generation(self):
        """Tells the ring from others that had or will have the same entry."""
        return self.c.generation

    @property
    def slots(self):
        """Number of slots."""
        return self.c.slots

    @property
    def pillow(self):
        """Pillow's settings of the program, or None where readers are to have their own."""
        return self._control.pillow if fa_load64(&self.c.header.follows_pillow) else None

    def follow_pillow(self):
        """Has the readers take on Pillow's settings of the program."""
        fa_store64(&self.c.header.follows_pillow, 1)

    def open_files(self, bint relative):
        """Has readers open files before they have the GIL; see ``_core.pyi``."""
        self.c.opens = FA_OPENS_ALL if relative else FA_OPENS_ABSOLUTE

    @property
    def wanted(self):
        """Images of batches that are still to be read; 0 if the ring is closed."""
        if fa_load32(&self.c.entry.generation) != self.c.generation:
            return 0  # the numbers there may be another ring's
        return fa_load64(&self.c.header.wanted) + fa_unclaimed(self.c.entry)

    def file(self, uint32_t slot):
        """The number of the file that a slot is for."""
        self._check(slot)
        return self.c.files[slot]

    def draws(self, uint32_t slot):
        """Seed and epoch of what a reader draws for the file of a slot."""
        self._check(slot)
        return self.c.draws[2 * slot], self.c.draws[2 * slot + 1]

    def path(self, uint32_t slot):
        """The path of the file that a slot is for, as bytes."""
        self._check(slot)
        cdef int64_t file = self.c.files[slot]
        if not 0 <= file < <int64_t>self.c.header.files:
            raise IndexError(f"There are {self.c.header.files} files. Received: {file}")
        return self.c.names[self.c.offsets[file]:self.c.offsets[file + 1]]

    def waiting(self):
        """A slot whose file no reader has begun, or None."""
        cdef uint32_t k
        for k in range(self.c.slots):
            if self.c.words[k] & 7 == FA_WAITING:
                return k
        return None

    def progress(self):
        """Bytes that change when a reader begins or ends a file."""
        return (<char *>self.c.words)[:self.c.slots * sizeof(uint32_t)]

    def claim(self):
        """Takes the next file for a reader without a record; returns its slot, or None."""
        cdef int32_t slot = fa_claim(&self.c, FA_NOBODY)
        return None if slot < 0 else slot

    def finish(self, uint32_t slot, bytes record=None):
        """Does what `Reader.finish` does, for a reader without a record."""
        self._check(slot)
        if record is not None:
            self._write(slot, record)
        return fa_settle(&self.c, slot, FA_NOBODY, FA_DONE if record is None else FA_FAILED)

    def held_by(self, uint32_t reader):
        """`(slot, word)` of what a reader has begun, or None."""
        cdef int32_t slot = fa_held_by(&self.c, reader)
        return None if slot < 0 else (slot, self.c.words[slot])

    def fail(self, uint32_t slot, bytes record not None):
        """Says why there is no image, in the place of a reader that is dead."""
        self._check(slot)
        self._write(slot, record)
        fa_take_from(&self.c, slot, FA_FAILED)

    def redo(self, uint32_t slot, uint32_t reader):
        """Has a slot of a dead reader read once more, by the one that takes a reader's place."""
        self._check(slot)
        fa_take_from(&self.c, slot, FA_WAITING)
        fa_store64(&self._control.c.reader[reader].redo,
                   FA_REDO(self.c.entry - self._control.c.entry, slot, self.c.generation))

    def fail_batches(self, error):
        """Ends all batches that wait for files: there will be no reader."""
        # what closes the ring has it, and would keep whoever the traceback leads to
        error = error.with_traceback(None)
        with cython.critical_section(self):
            self.failure = error
            queue = self._queue
        if queue is not None and self._generation == _forks:
            fa_fail_ring(&(<TaskQueue>queue).c, &self.c)
            (<TaskQueue>queue)._collect()

    cdef int _write(self, uint32_t slot, bytes record) except -1:
        cdef char *at = self.c.images + slot * self.c.header.slot_bytes
        cdef uint32_t size = len(record)
        if size > self.c.header.slot_bytes - sizeof(size):
            raise ValueError(f"No room for {size} bytes in a slot of {self.c.header.slot_bytes}")
        memcpy(at, &size, sizeof(size))
        memcpy(at + sizeof(size), <const char *>record, size)
        return 0

    cdef int _check(self, uint32_t slot) except -1:
        if slot >= self.c.slots:
            raise IndexError(f"There are {self.c.slots} slots. Received: {slot}")
        return 0


@cython.final
cdef class Reader:
    """One who reads the files of rings; see ``_core.pyi``."""

    cdef Control _control
    cdef uint32_t _index, _kind
    cdef fa_ring *_rings[FA_ENTRIES]
    cdef int32_t _entry  # of the last file
    cdef dict _held
    cdef char *_data  # of that file,
    cdef Py_ssize_t _size  # so many bytes; -1: it was not read
    cdef int _fd  # and is open here, or -1
    cdef uint64_t _reading  # microseconds that it took
    cdef uint64_t _begun  # in those of this thread

    def __cinit__(self, Control control not None, uint32_t index, uint32_t kind):
        self._fd = -1
        if index >= control.c.readers or kind > FA_THREADS:
            raise ValueError(f"There are {control.c.readers} readers. Received: {index}")
        self._control = control
        self._index = kind * control.c.readers + index
        self._kind = kind
        self._held = {}
        self._data = <char *>PyMem_RawMalloc(FA_SMALL_FILE)
        if self._data == NULL:
            raise MemoryError()

    def __dealloc__(self):
        PyMem_RawFree(self._data)
        if self._fd >= 0:
            fa_close(self._fd)

    def next(self, double timeout):
        """Waits for a file; see ``_core.pyi``."""
        cdef int32_t entry, slot = 0
        cdef int outcome
        cdef long long microseconds = <long long>(timeout * 1e6)
        while True:
            with nogil:
                outcome = fa_next(self._control.c, self._rings, self._index, self._kind,
                                  microseconds, &self._entry, &slot)
                if outcome == FA_CLAIMED:
                    self._read(self._rings[self._entry], slot)
            entry = self._entry
            if outcome == FA_CLAIMED:
                return self._held[entry], slot
            if outcome == FA_UNKNOWN:
                return entry
            if outcome != FA_GONE:
                return None
            self._rings[entry] = NULL
            del self._held[entry]

    cdef void _read(self, const fa_ring *ring, int32_t slot) noexcept nogil:
        """Opens a file while no thread waits for the GIL, and reads it if it is small."""
        cdef char path[FA_LONG_PATH]
        cdef uint64_t now = fa_now()
        self._begun = fa_thread_time()
        if self._fd >= 0:
            fa_close(self._fd)
        self._fd = self._size = -1
        if fa_path_to_open(ring, slot, path, FA_LONG_PATH):
            self._size = fa_read_small(path, self._data, &self._fd)
        self._reading = fa_now() - now

    def take_file(self):
        """What was read of the file, or where it is open; see ``_core.pyi``."""
        if self._size >= 0:
            return PyBytes_FromStringAndSize(self._data, self._size)
        fd, self._fd = self._fd, -1
        return fd if fd >= 0 else None

    def attach(self, uint32_t entry, Ring ring not None):
        """Makes a ring the one of an entry that `next` has returned."""
        if entry >= FA_ENTRIES:
            raise IndexError(f"There are {FA_ENTRIES} entries. Received: {entry}")
        self._held[entry] = ring
        self._rings[entry] = &ring.c

    def account(self, double reading):
        """Takes the time of a file into account; see ``_core.pyi``."""
        cdef fa_control *control = self._control.c
        self._control.account(reading + 1e-6 * self._reading,
                              1e-6 * (fa_now() - control.reader[self._index].since))
        if self._kind == FA_THREADS:
            self._control.account_thread(1e-6 * <int64_t>(fa_thread_time() - self._begun))

    def finish(self, Ring ring not None, uint32_t slot, bytes record=None):
        """Says what became of a file; see ``_core.pyi``."""
        ring._check(slot)
        if record is not None:
            ring._write(slot, record)
        return fa_settle(&ring.c, slot, self._index, FA_DONE if record is None else FA_FAILED)


@cython.final
cdef class Batch:
    """A batch for the threads that work for a queue; see ``_core.pyi``."""

    cdef fa_batch c
    cdef fa_task task
    cdef int _generation
    cdef TaskQueue _queue
    cdef object _held
    cdef Program _program
    cdef Sources _sources
    cdef Ring _ring
    cdef list _outs
    cdef object _after, _then, _error

    def __cinit__(self, Program program not None, images not None, cnp.ndarray index not None,
                  cnp.ndarray table, outs not None, bint standardize=True, Draws draws=None,
                  seeds=None, *, Ring ring=None, file_draws=(0, 0), after=None, then=None):
        cdef Py_ssize_t count
        cdef cnp.ndarray slots = index
        cdef Sources sources
        self._generation = _forks
        self.task.done = PyThread_allocate_lock()
        if self.task.done == NULL:
            raise MemoryError()
        if program.by_image is not None and ring is None:
            raise ValueError("Python code for each image needs the GIL")
        if not (table is None) == (draws is not None) == (seeds is not None):
            raise ValueError("Expected a table, or draws and seeds")
        sources = Sources(program, images)
        count = self._lend_outs(program, sources, list(outs), standardize)
        if (index.ndim != 1 or cnp.PyArray_TYPE(index) != cnp.NPY_INT64
                or not cnp.PyArray_ISCARRAY_RO(index) or index.shape[0] != count):
            raise ValueError(f"Expected an int64 index of {count} images. Received "
                             f"{index.dtype} of shape {(<object>index).shape}")
        self.task.drawn = count
        if draws is not None:
            if program.c.columns != FA_COLUMNS:
                raise ValueError(f"There are draws for {FA_COLUMNS} columns. Received a program "
                                 f"with {program.c.columns}")
            seeds = np.array(seeds, dtype=np.uint32)
            if seeds.shape != (len(self._held),):
                raise ValueError(f"Expected a seed for each of {len(self._held)} arrays. "
                                 f"Received: {seeds}")
            table = _new_table(count)
            self.task.drawn = 0
            self.task.table = <double *>cnp.PyArray_DATA(table)
            self.task.draws = &draws.c
            self.task.bits = draws._bits
            self.task.seeds = <const uint32_t *>cnp.PyArray_DATA(<cnp.ndarray>seeds)
        elif (table.ndim != 2 or cnp.PyArray_TYPE(table) != cnp.NPY_DOUBLE
                or not cnp.PyArray_ISCARRAY_RO(table) or table.shape[0] != count
                or table.shape[1] != program.c.columns):
            raise ValueError(f"Expected a float64 table of {count} x {program.c.columns}. "
                             f"Received {table.dtype} of shape {(<object>table).shape}")
        if ring is not None:
            self._come_through(ring, images, index)
            self.task.file_draws[0], self.task.file_draws[1] = file_draws
            slots = np.zeros(count, dtype=np.int64)
            self.task.slots = <int64_t *>cnp.PyArray_DATA(slots)
        self._outs = self._held
        self._held = (program, sources, index, slots, table, draws, seeds)
        self.c.index = <const int64_t *>cnp.PyArray_DATA(slots)
        self.c.table = <const double *>cnp.PyArray_DATA(table)
        self.c.matrices = NULL
        self.c.size = count
        _check_index(&self.c, 0, count)
        self._program, self._sources = program, sources
        self._after, self._then = after, then
        self.task.needs_python = (program.by_image is not None or after is not None
                                  or then is not None)
        self.task.count = count
        self.task.chunk = fa_chunk_size(&self.c, self.task.ring)
        self.task.batch = &self.c

    cdef int _come_through(self, Ring ring, cnp.ndarray images, cnp.ndarray files) except -1:
        """Makes the images those that readers put into the slots of a ring."""
        cdef const int64_t *file = <const int64_t *>cnp.PyArray_DATA(files)
        cdef Py_ssize_t k
        if (cnp.PyArray_DATA(images) != <void *>ring.c.images or ring.c.free_slots == NULL
                or <uint64_t>images.strides[0] != ring.c.header.slot_bytes
                or images.shape[0] != <Py_ssize_t>ring.c.slots):
            raise ValueError("Expected the images of a ring that is open")
        for k in range(files.shape[0]):
            if not 0 <= file[k] < <int64_t>ring.c.header.files:
                raise IndexError(f"index {file[k]} is out of bounds for {ring.c.header.files} "
                                 "files")
        self._ring = ring
        self.task.ring = &ring.c
        self.task.files = file
        return 0

    cdef Py_ssize_t _lend_outs(self, Program program, Sources sources, list outs,
                               bint standardize) except -1:
        """Sets where the results go; returns how many there will be."""
        cdef Py_ssize_t k, size, count = 0
        cdef cnp.ndarray out
        if not outs:
            raise ValueError("Expected at least one array for results")
        self.c.outs = <void **>PyMem_RawCalloc(len(outs), sizeof(void *))
        if self.c.outs == NULL:
            raise MemoryError()
        for k in range(len(outs)):
            if not isinstance(outs[k], np.ndarray):
                raise TypeError(f"Expected arrays for results. Received: {outs[k]!r}")
            out = outs[k]
            if k == 0:
                sources.lend(&self.c, out, standardize)
                self.c.out_size = out.shape[0] or 1
            else:
                _check_output(program, out)
            size = out.shape[0]
            if size > self.c.out_size or (size < self.c.out_size and k + 1 < len(outs)):
                raise ValueError(f"Expected arrays of {self.c.out_size} results each, but for "
                                 f"the last. Received: {size}")
            self.c.outs[k] = cnp.PyArray_DATA(out)
            count += size
        self._held = outs
        return count

    def __dealloc__(self):
        cdef fa_failure *failure = self.task.failures
        while failure != NULL:
            self.task.failures = failure.next
            free(failure)
            failure = self.task.failures
        PyMem_RawFree(self.c.outs)
        if self.task.done != NULL:
            PyThread_free_lock(self.task.done)

    def run(self):
        """Works in this thread; an interrupt comes through between images."""
        cdef Py_ssize_t start = 0, stop
        cdef cnp.ndarray work
        if self._queue is not None:
            raise ValueError("This batch is in a queue")
        if self._ring is not None:
            raise ValueError("Files are for the threads of a queue")
        if not self.task.count:
            return
        fa_draw_until(&self.task, self.task.count)
        work = np.empty(fa_work_values(&self.c), dtype=np.float32)
        while start < self.task.count:
            stop = min(start + self.task.chunk, self.task.count)
            with nogil:
                fa_run(&self.c, start, stop, 1, <float *>cnp.PyArray_DATA(work))
            PyErr_CheckSignals()
            start = stop

    def put_into(self, TaskQueue queue not None):
        """Hands itself to the threads of a queue; returns how many of them can have a part."""
        if not self.task.count and self._queue is None:
            return 0
        with cython.critical_section(self):
            if self._queue is not None:
                raise ValueError("This batch is in a queue")
            if self._ring is not None:
                queue._attach(self._ring._control)
                with cython.critical_section(self._ring):
                    self._ring._queue = queue
            PyThread_acquire_lock(self.task.done, WAIT_LOCK)
            self._queue = queue
            Py_INCREF(self)
            self.task.object = <void *>self
            return fa_put(&queue.c, &self.task)

    cdef _run_with_python(self, Py_ssize_t start, Py_ssize_t stop):
        """Works on a chunk of which Python has a part; what is raised is for `wait`."""
        cdef fa_queue *queue = &self._queue.c
        cdef fa_failure *kept = NULL
        cdef bint is_last, has_memory = True
        try:
            if self._error is None:
                has_memory = self._warp_chunk(start, stop, &kept)
        except BaseException as error:  # it is the caller's, whatever it is
            self._keep(error)
        PyThread_acquire_lock(queue.lock, WAIT_LOCK)
        if not has_memory:
            self.task.out_of_memory = True
        fa_give_back(queue, &self.task, start, stop, kept)
        PyThread_release_lock(queue.lock)
        if queue.control != NULL:
            fa_wake_readers(queue.control)
        try:
            if self._error is None and self._after is not None:
                self._call_after(start, stop)
        except BaseException as error:
            self._keep(error)
        PyThread_acquire_lock(queue.lock, WAIT_LOCK)
        self.task.worked += stop - start
        is_last = self.task.worked == self.task.count
        PyThread_release_lock(queue.lock)
        try:
            if is_last and self._error is None and self._then is not None:
                self._then()
        except BaseException as error:
            self._keep(error)
        PyThread_acquire_lock(queue.lock, WAIT_LOCK)
        fa_end_some(queue, &self.task, stop - start)
        PyThread_release_lock(queue.lock)

    cdef _keep(self, error):
        with cython.critical_section(self):
            if self._error is not None:
                return
            self._error = error
        fa_cancel(&self._queue.c, &self.task)

    cdef bint _warp_chunk(self, Py_ssize_t start, Py_ssize_t stop, fa_failure **kept) except -1:
        """Works on a chunk; returns False if there was no memory."""
        cdef fa_queue *queue = &self._queue.c
        cdef fa_control *counted
        cdef bint has_memory = True
        cdef Py_ssize_t position
        if self._program.by_image is None:
            work = np.empty(fa_work_values(&self.c), dtype=np.float32)
            with nogil:
                counted = fa_begin_warp(queue)
                has_memory = fa_run_chunk(&self.task, start, stop, 1,
                                          <float *>cnp.PyArray_DATA(<cnp.ndarray>work), kept)
                fa_end_warp(counted)
        else:
            for position in range(start, stop):
                if fa_first_failed(&self.task, position, position + 1) == position:
                    has_memory &= fa_keep_failure(&self.task, position, kept)
                    continue
                _call_by_image(self._program, self._sources, &self.c, position,
                               self._outs[position // self.c.out_size],
                               position % self.c.out_size)
        return has_memory

    cdef _call_after(self, Py_ssize_t start, Py_ssize_t stop):
        cdef Py_ssize_t first, end
        while start < stop:
            first = start % self.c.out_size
            end = min(first + stop - start, self.c.out_size)
            self._after(self._outs[start // self.c.out_size][first:end])
            start += end - first

    def cancel(self):
        """Cancels the images that have not begun."""
        with cython.critical_section(self):
            queue = self._queue
        if queue is None or self.is_lost():
            return
        fa_cancel(&(<TaskQueue>queue).c, &self.task)
        (<TaskQueue>queue)._collect()

    def is_lost(self):
        """Whether this is a copy in a forked process: no thread here will ever work on it."""
        return self._generation != _forks

    def wait(self, double timeout=-1):
        """Waits until no thread works on it any more; an interrupt comes through."""
        cdef PyLockStatus status
        cdef long long microseconds = -1 if timeout < 0 else <long long>(timeout * 1e6)
        if self._queue is None:
            return True
        if not PyThread_acquire_lock(self.task.done, NOWAIT_LOCK):
            while True:
                with nogil:
                    status = PyThread_acquire_lock_timed(self.task.done, microseconds, 1)
                if status == PY_LOCK_ACQUIRED:
                    break
                PyErr_CheckSignals()
                if microseconds >= 0:
                    if not self._has_ended():
                        return False
                    microseconds = -1  # another one who waits has the lock, for a moment
        PyThread_release_lock(self.task.done)
        self._queue._collect()
        with cython.critical_section(self):
            self._held = self._outs = self._after = self._then = None
            error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # no cycle between the traceback and this frame
        if self.task.was_failed:
            raise _again(self._ring.failure)
        if self.task.out_of_memory:
            raise MemoryError("No memory to work on an image in")
        return True

    cdef bint _has_ended(self) noexcept:
        """Whether no thread works on it any more, or will."""
        cdef bint has_ended
        if self.is_lost():
            return False
        PyThread_acquire_lock(self._queue.c.lock, WAIT_LOCK)
        has_ended = self.task.ended == self.task.count
        PyThread_release_lock(self._queue.c.lock)
        return has_ended

    def failures(self):
        """`(position, record)` of each image that could not be read; after `wait`."""
        cdef fa_failure *failure = self.task.failures
        found = []
        while failure != NULL:
            found.append((failure.position, failure.record[:failure.size]))
            failure = failure.next
        return found


cdef _again(error):
    """A copy of an error that is kept, which would keep the frames that it is raised through."""
    try:
        again = copy.copy(error)
    except Exception:  # made by other arguments than it has
        again = RuntimeError(f"{type(error).__name__}: {error}")
    again.__cause__ = error.__cause__
    return again


@cython.final
cdef class TaskQueue:
    """Work for threads; see ``_core.pyi``."""

    cdef fa_queue c
    cdef Control _control
    cdef int _generation

    def __cinit__(self):
        self._generation = _forks
        self.c.event = &self.c.own_event
        self.c.lock = PyThread_allocate_lock()
        if self.c.lock == NULL:
            raise MemoryError()

    def __dealloc__(self):
        if self.c.lock != NULL and self._generation == _forks:
            self.clear()
            PyThread_free_lock(self.c.lock)

    cdef int _attach(self, Control control) except -1:
        """Makes the threads sleep where the readers of a control block can wake them."""
        with cython.critical_section(self):
            if self.c.control == control.c:
                return 0
            if self._control is not None:
                raise ValueError("This queue has another control block")
            self._control = control
            fa_attach(&self.c, control.c)
        return 0

    def put(self, call):
        """Hands a call to the threads; one of them gets it from `get`."""
        cdef fa_task *task = <fa_task *>PyMem_RawCalloc(1, sizeof(fa_task))
        if task == NULL:
            raise MemoryError()
        Py_INCREF(call)
        task.object = <void *>call
        fa_put(&self.c, task)

    def get(self, double timeout):
        """Works on batches until there is a call, which it returns."""
        cdef fa_task *task
        cdef ptrdiff_t start = 0, stop = 0
        cdef long long microseconds = <long long>(timeout * 1e6)
        while True:
            with nogil:
                task = fa_work(&self.c, microseconds, &start, &stop)
            if task != NULL and task.batch != NULL:
                _run_with_python(<object>task.object, start, stop)
                self._collect()
                continue
            self._collect()
            if task == NULL:
                raise Empty
            return _call_of(task)

    def empty(self):
        """Whether a thread that asked now would have to wait."""
        cdef bint nothing
        PyThread_acquire_lock(self.c.lock, WAIT_LOCK)
        nothing = self.c.first == NULL
        PyThread_release_lock(self.c.lock)
        return nothing

    def clear(self):
        """Drops what has not begun."""
        cdef bint more = True
        cdef fa_task *task
        while more:
            task = fa_drop_first(&self.c, &more)
            if task != NULL:
                _call_of(task)
        self._collect()

    cdef _collect(self):
        """Gives back the references to batches that have ended."""
        cdef fa_task *task = fa_take_ended(&self.c)
        cdef fa_task *after
        while task != NULL:
            after = task.next  # the task is part of the batch, and may go with it
            Py_DECREF(<object>task.object)
            task = after


cdef _run_with_python(Batch batch, Py_ssize_t start, Py_ssize_t stop):
    """Holds a reference to the batch until its chunk has ended."""
    batch._run_with_python(start, stop)


cdef _call_of(fa_task *task):
    """The call of a task that has left the queue, with the reference that was the queue's."""
    call = <object>task.object
    Py_DECREF(call)
    PyMem_RawFree(task)
    return call


cdef object _kept_memory = fa_kept_capsule()


@cython.final
cdef class KeptMemory:
    """Memory of large temporary arrays that is used again; see ``_core.pyi``."""

    cdef object _before

    def __enter__(self):
        self._before = PyDataMem_SetHandler(_kept_memory)

    def __exit__(self, *exc_info):
        PyDataMem_SetHandler(self._before)
        self._before = None

    @staticmethod
    def release():
        """Gives the memory that is kept back to the system."""
        fa_kept_release()


cdef int _forks = 0


def _count_fork():
    global _forks, _kept_memory
    _forks += 1
    _kept_memory = fa_kept_capsule()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


@cython.final
cdef class Sources:
    """The images that batches of a program come from: an array of them, or a sequence of arrays."""

    cdef Program _program
    cdef object _held
    cdef fa_image *_images  # of a sequence; NULL: they are alike
    cdef fa_image _first
    cdef Py_ssize_t _stride, _count

    def __cinit__(self, Program program not None, images not None):
        cdef Py_ssize_t k
        self._program = program
        self._held = images
        if isinstance(images, np.ndarray):
            self._set(images, 1, &self._first)
            self._stride = (<cnp.ndarray>images).strides[0]
            self._count = (<cnp.ndarray>images).shape[0]
            return
        self._held = images = list(images)
        self._count = len(images)
        self._images = <fa_image *>PyMem_RawCalloc(len(images) + 1, sizeof(fa_image))
        if self._images == NULL:
            raise MemoryError()
        for k in range(len(images)):
            if not isinstance(images[k], np.ndarray):
                raise TypeError(f"Expected arrays. Received: {images[k]!r}")
            self._set(images[k], 0, &self._images[k])

    def __dealloc__(self):
        PyMem_RawFree(self._images)

    cdef int _set(self, cnp.ndarray array, int axis, fa_image *image) except -1:
        """Sets an image from an array whose axes begin at one: in native byte order, its pixels, or
        those of a plane, next to each other in a row."""
        cdef fa_form *form = &self._program.c.form
        cdef int rows = axis + 1 if form.channels_first else axis
        cdef Py_ssize_t itemsize = array.itemsize, pixel, row
        if array.ndim != axis + 3 or array.shape[axis if form.channels_first
                                                 else axis + 2] != form.channels:
            raise ValueError(f"Expected images of {form.channels} channels, of shape "
                             f"{self._program.shape} or another size. Received an array of shape "
                             f"{(<object>array).shape}")
        image.type = _type_of(array.dtype)
        if image.type == FA_NO_TYPE:
            raise TypeError(f"Expected images of uint8, float32 or a type in CONVERTED. Received: "
                            f"{array.dtype}")
        if form.is_bytes and image.type != FA_UINT8:
            raise TypeError(f"Expected uint8 images for a uint8 batch. Received: {array.dtype}")
        if not cnp.PyArray_ISBEHAVED_RO(array):
            raise ValueError("Expected aligned images in native byte order")
        image.height, image.width = array.shape[rows], array.shape[rows + 1]
        if image.height < 1 or image.width < 1:
            raise ValueError(f"An image has at least one pixel. Received an array of shape "
                             f"{(<object>array).shape}")
        if max(image.height, image.width) > 2**30:
            raise ValueError(f"Image sides go up to 2**30. Received an array of shape "
                             f"{(<object>array).shape}")
        if axis and array.shape[0] == 0:
            return 0  # NumPy gives no strides to what has no values
        pixel = itemsize if form.channels_first else itemsize * form.channels
        if image.height > 1:
            row = array.strides[rows]
        elif form.channels_first and form.channels > 1:
            row = array.strides[axis]  # planes of one row each
        else:
            row = image.width * pixel
        if (row % itemsize or row < image.width * pixel
                or (image.width > 1 and array.strides[rows + 1] != pixel)
                or (not form.channels_first and form.channels > 1
                    and array.strides[axis + 2] != itemsize)
                or (form.channels_first and form.channels > 1
                    and array.strides[axis] != image.height * row)):
            raise ValueError("Expected each row of an image to be contiguous")
        image.data = cnp.PyArray_DATA(array)
        image.row = row // itemsize
        image.padding = 0
        return 0

    cdef int lend(self, fa_batch *batch, cnp.ndarray out, bint standardize) except -1:
        """Sets what does not depend on the position in a batch; the caller keeps it alive."""
        cdef fa_program *program = &self._program.c
        if program.form.is_bytes and standardize and program.count > program.standardization:
            raise ValueError("A uint8 batch cannot be standardized")
        _check_output(self._program, out)
        batch.program = program
        batch.image = self._first
        batch.sources = self._images
        batch.stride = self._stride
        batch.count = self._count
        batch.standardize = standardize
        fa_measure_sources(batch)
        return 0


cdef int _check_index(const fa_batch *batch, Py_ssize_t start, Py_ssize_t stop) except -1:
    cdef Py_ssize_t i
    for i in range(start, stop):
        if not 0 <= batch.index[i] < batch.count:
            raise IndexError(f"index {batch.index[i]} is out of bounds for {batch.count} images")
    return 0


cdef int _check_output(Program program, cnp.ndarray out) except -1:
    """A batch that the caller lends: contiguous, writeable, of the program's shape and type."""
    cdef fa_form *form = &program.c.form
    cdef bint first = form.channels_first
    cdef int typenum = cnp.NPY_UINT8 if form.is_bytes else cnp.NPY_FLOAT32
    if (out.ndim != 4 or cnp.PyArray_TYPE(out) != typenum
            or out.shape[2 if first else 1] != form.height
            or out.shape[3 if first else 2] != form.width
            or out.shape[1 if first else 3] != form.channels or not cnp.PyArray_ISCARRAY(out)):
        dtype = "uint8" if form.is_bytes else "float32"
        raise ValueError(f"Expected a contiguous {dtype} batch of images of shape "
                         f"{program.shape}. Received {out.dtype} of shape {(<object>out).shape}")
    return 0
