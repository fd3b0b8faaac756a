/* Memory of large NumPy arrays that is kept for the next ones, of the same size: a handler in the
 * sense of NEP 49.
 *
 * A function that is called for one image after the other makes the same temporary arrays each time.
 * Above some size the C library gives their memory back to the system, which clears every page of it
 * before it comes again; that takes longer than the arithmetic.
 */
#ifndef FASTAUG_MEMORY_H
#define FASTAUG_MEMORY_H

#include <Python.h>
#include <numpy/arrayobject.h>
#include <pythread.h>
#include <stdlib.h>
#include <string.h>

#define FA_LARGE ((size_t)1 << 16)  /* bytes that are worth it */
#define FA_KEPT_BLOCKS 16
#define FA_KEPT_BYTES ((size_t)64 << 20)

static struct {
    PyThread_type_lock lock;
    size_t bytes;
    struct {
        void *data;
        size_t size;
    } block[FA_KEPT_BLOCKS];
} fa_kept;

static void *fa_kept_malloc(void *context, size_t size)
{
    void *data = NULL;
    int i;
    (void)context;
    if (size >= FA_LARGE) {
        PyThread_acquire_lock(fa_kept.lock, WAIT_LOCK);
        for (i = 0; i < FA_KEPT_BLOCKS && !data; i++)
            if (fa_kept.block[i].size == size) {
                data = fa_kept.block[i].data;
                fa_kept.block[i].data = NULL;
                fa_kept.block[i].size = 0;
                fa_kept.bytes -= size;
            }
        PyThread_release_lock(fa_kept.lock);
    }
    return data ? data : malloc(size ? size : 1);
}

static void *fa_kept_calloc(void *context, size_t count, size_t size)
{
    (void)context;
    return calloc(count ? count : 1, size ? size : 1);
}

static void *fa_kept_realloc(void *context, void *data, size_t size)
{
    (void)context;
    return realloc(data, size ? size : 1);
}

static void fa_kept_free(void *context, void *data, size_t size)
{
    int i;
    (void)context;
    if (data && size >= FA_LARGE) {
        PyThread_acquire_lock(fa_kept.lock, WAIT_LOCK);
        for (i = 0; i < FA_KEPT_BLOCKS && data && fa_kept.bytes + size <= FA_KEPT_BYTES; i++)
            if (!fa_kept.block[i].data) {
                fa_kept.block[i].data = data;
                fa_kept.block[i].size = size;
                fa_kept.bytes += size;
                data = NULL;
            }
        PyThread_release_lock(fa_kept.lock);
    }
    free(data);
}

/* Gives all of it back. */
static void fa_kept_release(void)
{
    int i;
    PyThread_acquire_lock(fa_kept.lock, WAIT_LOCK);
    for (i = 0; i < FA_KEPT_BLOCKS; i++) {
        free(fa_kept.block[i].data);
        fa_kept.block[i].data = NULL;
        fa_kept.block[i].size = 0;
    }
    fa_kept.bytes = 0;
    PyThread_release_lock(fa_kept.lock);
}

static PyDataMem_Handler fa_kept_handler = {
    "fastaug: kept", 1,
    {NULL, fa_kept_malloc, fa_kept_calloc, fa_kept_realloc, fa_kept_free}
};

/* A capsule for PyDataMem_SetHandler, or NULL with an exception; also in a forked child, where
 * another thread may have had the lock. */
static PyObject *fa_kept_capsule(void)
{
    fa_kept.lock = PyThread_allocate_lock();
    if (!fa_kept.lock) return PyErr_NoMemory();
    return PyCapsule_New(&fa_kept_handler, "mem_handler", NULL);
}

#endif
