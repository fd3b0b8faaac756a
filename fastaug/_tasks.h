/* A queue of work for threads, which take from it and run it without the GIL.
 *
 * It holds batches, from which threads claim some images at a time, all of them from the first that
 * has any left, and calls into Python, which a thread hands back to its caller. A task is in the queue
 * until the last of it is claimed. Nothing here calls Python, so that the lock may be taken with the
 * GIL and without it; references are taken and given back by ``_core.pyx``, which has the GIL.
 *
 * Locks are CPython's own, semaphores on every system, which need no GIL.
 */
#ifndef FASTAUG_TASKS_H
#define FASTAUG_TASKS_H

#include <Python.h>
#include <pythread.h>
#include <stdlib.h>

#include "_draws.h"
#include "_pixels.h"

#define FA_CLAIMED_VALUES (1 << 15) /* values that are worth taking the lock */

typedef struct fa_task {
    struct fa_task *next;
    void *object;             /* the Python object that this belongs to; the queue has a reference */
    const fa_batch *batch;    /* NULL: a call for Python */
    ptrdiff_t count;          /* images */
    ptrdiff_t claimed, ended; /* of them */
    int out_of_memory;
    PyThread_type_lock done;  /* free once all images have ended */
    ptrdiff_t drawn;          /* rows of the table that are there */
    double *table;            /* that of the batch, if some are not */
    const fa_draws *draws;    /* how to draw them */
    bitgen_t bits;            /* from which kind of generator, an MT19937 */
    const uint32_t *seeds;    /* and what to seed it with for each array of results */
} fa_task;

typedef struct fa_sleeper {
    struct fa_sleeper *next;
    PyThread_type_lock wakes;
} fa_sleeper;

typedef struct {
    PyThread_type_lock lock;
    fa_task *first, *last;
    fa_task *ended;           /* batches that the queue still has a reference to, and no thread uses */
    fa_sleeper *sleepers;
    ptrdiff_t threads;        /* that work for the queue or wait to */
} fa_queue;

/* Images in a claim. */
static ptrdiff_t fa_claim_size(const fa_batch *batch)
{
    const fa_plan *plan = batch->plan;
    const ptrdiff_t size = plan->height * plan->width * plan->channels;
    return size < FA_CLAIMED_VALUES ? FA_CLAIMED_VALUES / size : 1;
}

/* Draws the table as far as some place, for one thread at a time. */
static void fa_draw_until(fa_task *task, ptrdiff_t place)
{
    const ptrdiff_t places = task->batch->out_places;
    fa_mt19937 state;
    bitgen_t bits = task->bits;
    bits.state = &state;
    while (task->drawn < place) {
        const ptrdiff_t left = task->count - task->drawn;
        fa_seed(&state, task->seeds[task->drawn / places]);
        fa_draw_rows(task->draws, &bits, places < left ? places : left,
                     task->table + task->drawn * FA_COLUMNS);
        task->drawn += places < left ? places : left;
    }
}

/* ---- with the lock held ---------------------------------------------------------------------- */

static void fa_unlink(fa_queue *queue, fa_task *task)
{
    fa_task **link = &queue->first, *before = NULL;
    while (*link && *link != task) {
        before = *link;
        link = &before->next;
    }
    if (!*link) return;
    *link = task->next;
    if (queue->last == task) queue->last = before;
    task->next = NULL;
}

/* Counts images as ended. After the last, whoever waits goes on. */
static void fa_end_some(fa_queue *queue, fa_task *task, ptrdiff_t count)
{
    task->ended += count;
    if (task->ended < task->count) return;
    task->next = queue->ended;
    queue->ended = task;
    PyThread_release_lock(task->done);
}

/* Takes a batch out of the queue: it ends with those of its images that are claimed. */
static void fa_end_unclaimed(fa_queue *queue, fa_task *task)
{
    const ptrdiff_t left = task->count - task->claimed;
    if (!left) return; /* it is not in the queue */
    fa_unlink(queue, task);
    task->claimed = task->count;
    fa_end_some(queue, task, left);
}

/* ---- for those who have work -------------------------------------------------------------------- */

/* Puts a task at the end and wakes as many threads as can have a part of it, which it returns. */
static ptrdiff_t fa_put(fa_queue *queue, fa_task *task)
{
    ptrdiff_t parts = 1, left;
    fa_sleeper *woken = NULL, *sleeper;
    if (task->batch) {
        const ptrdiff_t claim = fa_claim_size(task->batch);
        parts = (task->count + claim - 1) / claim;
    }
    PyThread_acquire_lock(queue->lock, WAIT_LOCK);
    task->next = NULL;
    if (queue->last) queue->last->next = task;
    else queue->first = task;
    queue->last = task;
    for (left = parts; left > 0 && (sleeper = queue->sleepers) != NULL; left--) {
        queue->sleepers = sleeper->next;
        sleeper->next = woken;
        woken = sleeper;
    }
    while ((sleeper = woken) != NULL) { /* one that is awake may be gone: look at it no more */
        woken = sleeper->next;
        PyThread_release_lock(sleeper->wakes);
    }
    PyThread_release_lock(queue->lock);
    return parts;
}

/* Lets the images of a batch that no thread has claimed come to nothing. */
static void fa_cancel(fa_queue *queue, fa_task *task)
{
    PyThread_acquire_lock(queue->lock, WAIT_LOCK);
    fa_end_unclaimed(queue, task);
    PyThread_release_lock(queue->lock);
}

/* Returns the batches that have ended, to give their references back. */
static fa_task *fa_take_ended(fa_queue *queue)
{
    fa_task *ended;
    PyThread_acquire_lock(queue->lock, WAIT_LOCK);
    ended = queue->ended;
    queue->ended = NULL;
    PyThread_release_lock(queue->lock);
    return ended;
}

/* Takes the first task out; a batch ends with those of its images that are claimed. Returns a call
 * for Python, with the queue's reference to it, or NULL; *more: whether there was anything. */
static fa_task *fa_drop_first(fa_queue *queue, int *more)
{
    fa_task *task;
    PyThread_acquire_lock(queue->lock, WAIT_LOCK);
    task = queue->first;
    *more = task != NULL;
    if (task && task->batch) {
        fa_end_unclaimed(queue, task);
        task = NULL;
    } else if (task) {
        fa_unlink(queue, task);
    }
    PyThread_release_lock(queue->lock);
    return task;
}

/* ---- for the threads ------------------------------------------------------------------------------ */

/* Memory that a thread works in, as large as its images need. */
typedef struct {
    float *values;
    ptrdiff_t size;
} fa_scratch;

static int fa_has_scratch(fa_scratch *scratch, const fa_batch *batch)
{
    const ptrdiff_t size = fa_work_values(batch->plan, batch->to_bytes);
    if (size <= scratch->size) return 1;
    free(scratch->values);
    scratch->values = malloc((size_t)size * sizeof(float));
    scratch->size = scratch->values ? size : 0;
    return scratch->values != NULL;
}

/* Runs batches until there is a call for Python, which is returned with the queue's reference to it,
 * or until there has been nothing to do for a time: then NULL. me: this thread's, its lock taken. */
static fa_task *fa_work(fa_queue *queue, fa_sleeper *me, long long microseconds)
{
    fa_scratch scratch = {NULL, 0};
    fa_task *task;
    PyThread_acquire_lock(queue->lock, WAIT_LOCK);
    queue->threads++;
    for (;;) {
        ptrdiff_t start, stop, threads;
        int has_memory;
        task = queue->first;
        if (!task) {
            fa_sleeper **link;
            me->next = queue->sleepers;
            queue->sleepers = me;
            PyThread_release_lock(queue->lock);
            if (PyThread_acquire_lock_timed(me->wakes, microseconds, 0) == PY_LOCK_ACQUIRED) {
                PyThread_acquire_lock(queue->lock, WAIT_LOCK);
                continue;
            }
            PyThread_acquire_lock(queue->lock, WAIT_LOCK);
            for (link = &queue->sleepers; *link && *link != me; link = &(*link)->next) {}
            if (*link) {
                *link = me->next;
                break;
            }
            PyThread_acquire_lock(me->wakes, WAIT_LOCK); /* woken since: there is something */
            continue;
        }
        if (!task->batch) {
            fa_unlink(queue, task);
            break;
        }
        start = task->claimed;
        stop = start + fa_claim_size(task->batch);
        if (stop >= task->count) {
            stop = task->count;
            fa_unlink(queue, task);
        }
        task->claimed = stop;
        fa_draw_until(task, stop);
        threads = queue->threads;
        PyThread_release_lock(queue->lock);
        has_memory = fa_has_scratch(&scratch, task->batch);
        if (has_memory) fa_run(task->batch, start, stop, threads, scratch.values);
        PyThread_acquire_lock(queue->lock, WAIT_LOCK);
        if (!has_memory) task->out_of_memory = 1;
        fa_end_some(queue, task, stop - start);
    }
    queue->threads--;
    PyThread_release_lock(queue->lock);
    free(scratch.values);
    return task;
}

#endif
