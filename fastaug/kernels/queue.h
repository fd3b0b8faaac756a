/* A queue of work for threads, which take from it and run it without the GIL.
 *
 * It holds batches, from which threads take chunks of some images at a time, all of them from the
 * first that has one, and calls into Python, which a thread hands back to its caller. The images of a
 * batch lie in an array, or come through a ring (ring.h): then a chunk can be taken when all of its
 * images are there, in the order of the batch. A task is in the queue until the last of it is taken.
 *
 * Nothing here calls Python, so that the lock may be taken with the GIL and without it; who holds it
 * allocates no Python object. References are taken and given back by ``_core.pyx``, which has the GIL.
 * The lock is CPython's own, a semaphore on every system, which needs no GIL.
 */
#ifndef FASTAUG_QUEUE_H
#define FASTAUG_QUEUE_H

#include <Python.h>
#include <pythread.h>
#include <stdlib.h>

#include "draws.h"
#include "run.h"
#include "ring.h"

#define FA_CHUNK_VALUES (1 << 15)      /* values that are worth taking the lock */
#define FA_RING_CHUNK_VALUES (1 << 19) /* and waking a thread, while readers wait for a core */

/* Why an image is not there: a record in the memory of its slot, which its reader wrote. */
typedef struct fa_failure {
    struct fa_failure *next;
    ptrdiff_t position;       /* in the batch */
    size_t size;
    char record[1];
} fa_failure;

typedef struct fa_task {
    struct fa_task *next;
    void *object;             /* the Python object that this belongs to; the queue has a reference */
    const fa_batch *batch;    /* NULL: a call for Python */
    ptrdiff_t count;          /* images */
    ptrdiff_t chunk;          /* of them that are taken at a time */
    ptrdiff_t claimed, ended;
    ptrdiff_t worked;         /* images that Python is done with, where it has a part */
    int needs_python;         /* whether a thread takes the GIL for a chunk */
    int out_of_memory;
    int was_failed;           /* ended because its ring has no readers */
    PyThread_type_lock done;  /* free once all images have ended */
    ptrdiff_t drawn;          /* rows of the table that are there */
    double *table;            /* that of the batch, if some are not */
    const fa_draws *draws;    /* how to draw them */
    bitgen_t bits;            /* from which kind of generator, an MT19937 */
    const uint32_t *seeds;    /* and what to seed it with for each array of results */
    fa_ring *ring;            /* what the images come through, or NULL: then batch->index are slots, */
    int64_t *slots;           /* which is the same array, */
    const int64_t *files;     /* of these files, */
    uint64_t file_draws[2];   /* with seed and epoch of what their readers draw */
    ptrdiff_t requested;      /* images that have a slot */
    fa_failure *failures;
} fa_task;

typedef struct {
    PyThread_type_lock lock;
    fa_task *first, *last;
    fa_task *ended;           /* batches that the queue still has a reference to, and no thread uses */
    fa_event *event;          /* where threads sleep: its own, or that of the control block */
    fa_event own_event;
    fa_control *control;      /* of the rings that batches come through, or NULL */
    ptrdiff_t threads;        /* that work for the queue or wait to */
} fa_queue;

/* Images in a chunk. */
static ptrdiff_t fa_chunk_size(const fa_batch *batch, const fa_ring *ring)
{
    const ptrdiff_t size = fa_form_size(&batch->program->form);
    const ptrdiff_t values = ring ? FA_RING_CHUNK_VALUES : FA_CHUNK_VALUES;
    ptrdiff_t chunk = size < values ? values / size : 1;
    if (ring && chunk > (ptrdiff_t)(ring->slots + 1) / 2) chunk = (ptrdiff_t)(ring->slots + 1) / 2;
    return chunk;
}

/* Draws the table as far as some position, for one thread at a time. */
static void fa_draw_until(fa_task *task, ptrdiff_t position)
{
    const ptrdiff_t size = task->batch->out_size;
    fa_mt19937 state;
    bitgen_t bits = task->bits;
    bits.state = &state;
    while (task->drawn < position) {
        const ptrdiff_t left = task->count - task->drawn;
        fa_seed(&state, task->seeds[task->drawn / size]);
        fa_draw_rows(task->draws, &bits, size < left ? size : left,
                     task->table + task->drawn * FA_COLUMNS);
        task->drawn += size < left ? size : left;
    }
}

/* ---- with the lock held ---------------------------------------------------------------------- */

/* The end of the chunk that begins at a position. */
static ptrdiff_t fa_chunk_stop(const fa_task *task, ptrdiff_t start)
{
    return start + task->chunk < task->count ? start + task->chunk : task->count;
}

/* Asks for the files of the batches that wait, in their order, as long as there are slots. */
static void fa_submit_waiting(fa_queue *queue)
{
    fa_task *task;
    for (task = queue->first; task; task = task->next) {
        fa_ring *ring = task->ring;
        if (!ring || task->requested == task->count) continue;
        fa_reclaim(ring);
        while (task->requested < task->count) {
            const ptrdiff_t position = task->requested;
            const int watched = (position + 1) % task->chunk == 0 || position + 1 == task->count;
            const int32_t slot = fa_submit(ring, task->files[position], task->file_draws, watched);
            if (slot < 0) break;
            task->slots[position] = slot;
            task->requested++;
            fa_store64(&ring->header->wanted, ring->header->wanted - 1);
        }
    }
}

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
    ptrdiff_t position;
    if (!left) return; /* it is not in the queue */
    fa_unlink(queue, task);
    if (task->ring) {
        for (position = task->claimed; position < task->requested; position++)
            fa_abandon(task->ring, (int32_t)task->slots[position]);
        fa_skip(task->ring);
        fa_store64(&task->ring->header->wanted,
                   task->ring->header->wanted - (uint64_t)(task->count - task->requested));
        fa_submit_waiting(queue);
    }
    task->claimed = task->count;
    fa_end_some(queue, task, left);
}

/* Whether the next chunk of a task can be taken; if not, a thread will be woken when it can. */
static int fa_is_ready(const fa_task *task)
{
    ptrdiff_t position;
    if (!task->ring) return 1;
    position = fa_chunk_stop(task, task->claimed);
    if (position > task->requested) return 0; /* the last of a chunk is watched from the beginning */
    while (position-- > task->claimed)
        if (!fa_is_there(task->ring, (int32_t)task->slots[position])) return 0;
    return 1;
}

/* Takes the first chunk that is ready, or the first call for Python; NULL: there is none. *more:
 * whether there is another one. Images of a ring are left to the threads at work if there is one for
 * each core: each looks here again when it is done. */
static fa_task *fa_take(fa_queue *queue, ptrdiff_t *start, ptrdiff_t *stop, int *more)
{
    fa_task *task, *after, *found = NULL;
    const fa_control *control = queue->control;
    uint32_t at_work = control ? fa_load32(&control->warping) : 0;
    *more = 0;
    *start = *stop = 0;
    for (task = queue->first; task; task = after) {
        after = task->next;
        if (task->ring && at_work >= control->cores) continue;
        if (!fa_is_ready(task)) continue;
        if (found) {
            *more = 1;
            break;
        }
        found = task;
        if (task->batch && !task->needs_python) at_work++; /* the others are Python's */
        if (!task->batch) {
            fa_unlink(queue, task);
            continue;
        }
        *start = task->claimed;
        *stop = task->claimed = fa_chunk_stop(task, task->claimed);
        if (task->claimed == task->count) fa_unlink(queue, task);
        else after = task; /* its next chunk */
    }
    return found;
}

/* ---- for those who have work -------------------------------------------------------------------- */

/* Puts a task at the end and wakes as many threads as can have a part of it, which it returns. */
static ptrdiff_t fa_put(fa_queue *queue, fa_task *task)
{
    const ptrdiff_t parts = task->batch ? (task->count + task->chunk - 1) / task->chunk : 1;
    PyThread_acquire_lock(queue->lock, WAIT_LOCK);
    task->next = NULL;
    if (queue->last) queue->last->next = task;
    else queue->first = task;
    queue->last = task;
    if (task->ring) {
        fa_store64(&task->ring->header->wanted,
                   task->ring->header->wanted + (uint64_t)task->count);
        fa_submit_waiting(queue);
        PyThread_release_lock(queue->lock);
        fa_wake_readers(queue->control);
    } else {
        /* threads of another queue may sleep there too, of one that is about to end */
        fa_event_signal(queue->event, queue->control ? PTRDIFF_MAX : parts);
        PyThread_release_lock(queue->lock);
    }
    return parts;
}

/* Cancels the images of a batch that no thread has claimed. */
static void fa_cancel(fa_queue *queue, fa_task *task)
{
    PyThread_acquire_lock(queue->lock, WAIT_LOCK);
    fa_end_unclaimed(queue, task);
    PyThread_release_lock(queue->lock);
    if (queue->control) fa_wake_readers(queue->control);
}

/* The same for all batches that come through a ring, which say that they have failed. */
static void fa_fail_ring(fa_queue *queue, const fa_ring *ring)
{
    fa_task *task, *after;
    PyThread_acquire_lock(queue->lock, WAIT_LOCK);
    for (task = queue->first; task; task = after) {
        after = task->next;
        if (task->ring != ring) continue;
        task->was_failed = 1;
        fa_end_unclaimed(queue, task);
    }
    PyThread_release_lock(queue->lock);
}

/* Makes the threads sleep where the readers of a control block can wake them. */
static void fa_attach(fa_queue *queue, fa_control *control)
{
    fa_event *before;
    PyThread_acquire_lock(queue->lock, WAIT_LOCK);
    before = queue->event;
    queue->control = control;
    queue->event = &control->ready;
    PyThread_release_lock(queue->lock);
    fa_event_signal(before, PTRDIFF_MAX);
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
    const ptrdiff_t size = fa_work_values(batch);
    if (size <= scratch->size) return 1;
    free(scratch->values);
    scratch->values = malloc((size_t)size * sizeof(float));
    scratch->size = scratch->values ? size : 0;
    return scratch->values != NULL;
}

/* Keeps the record of an image that is not there, whose result is zero. Returns 0 without memory. */
static int fa_keep_failure(fa_task *task, ptrdiff_t position, fa_failure **kept)
{
    const fa_ring *ring = task->ring;
    const fa_batch *batch = task->batch;
    const char *slot = ring->images + (uint64_t)task->slots[position] * ring->header->slot_bytes;
    fa_failure *failure;
    uint32_t size;
    memcpy(&size, slot, sizeof size);
    if (size > ring->header->slot_bytes - sizeof size)
        size = (uint32_t)(ring->header->slot_bytes - sizeof size);
    memset(fa_out_of(batch, position), 0, (size_t)fa_result_bytes(&batch->program->form));
    failure = malloc(sizeof(fa_failure) + size);
    if (!failure) return 0;
    failure->position = position;
    failure->size = size;
    memcpy(failure->record, slot + sizeof size, size);
    failure->next = *kept;
    *kept = failure;
    return 1;
}

/* The first position from `start` on whose image is not there, or `stop`. */
static ptrdiff_t fa_first_failed(const fa_task *task, ptrdiff_t start, ptrdiff_t stop)
{
    if (!task->ring) return stop;
    while (start < stop
           && FA_STATE(fa_load32(&task->ring->words[task->slots[start]])) != FA_FAILED)
        start++;
    return start;
}

/* Works on a chunk. Returns 0 if there was no memory; *kept gets the failures. */
static int fa_run_chunk(fa_task *task, ptrdiff_t start, ptrdiff_t stop, ptrdiff_t threads,
                        float *work, fa_failure **kept)
{
    int has_memory = 1;
    while (start < stop) {
        const ptrdiff_t failed = fa_first_failed(task, start, stop);
        if (failed > start) fa_run(task->batch, start, failed, task->ring ? 0 : threads, work);
        if (failed < stop) has_memory &= fa_keep_failure(task, failed, kept);
        start = failed + 1;
    }
    return has_memory;
}

/* With the lock held: gives the slots of a chunk back, and keeps its failures. */
static void fa_give_back(fa_queue *queue, fa_task *task, ptrdiff_t start, ptrdiff_t stop,
                         fa_failure *kept)
{
    ptrdiff_t position;
    if (!task->ring) return;
    while (kept) {
        fa_failure *after = kept->next;
        kept->next = task->failures;
        task->failures = kept;
        kept = after;
    }
    for (position = start; position < stop; position++)
        fa_release(task->ring, (int32_t)task->slots[position]);
    fa_submit_waiting(queue);
}

/* Says that a thread begins work that takes a core from the readers. Returns where that is counted,
 * for its end: the queue may get its control block in between. */
static fa_control *fa_begin_warp(fa_queue *queue)
{
    fa_control *control = queue->control;
    if (control) fa_add32(&control->warping, 1);
    return control;
}

static void fa_end_warp(fa_control *control)
{
    if (!control) return;
    fa_add32(&control->warping, (uint32_t)-1);
    fa_wake_readers(control);
}

/* Runs batches until there is something for Python, which is returned: a call, with the queue's
 * reference to it, or a chunk, from *start to *stop. Or until there has been nothing to do for a time:
 * then NULL. */
static fa_task *fa_work(fa_queue *queue, long long microseconds, ptrdiff_t *start, ptrdiff_t *stop)
{
    fa_scratch scratch = {NULL, 0};
    fa_task *task;
    int in_time = 1;
    PyThread_acquire_lock(queue->lock, WAIT_LOCK);
    queue->threads++;
    for (;;) {
        fa_event *event = queue->event;
        const uint32_t seen = fa_load32(&event->sequence);
        ptrdiff_t threads;
        fa_control *counted;
        fa_failure *kept = NULL;
        int has_memory, more;
        fa_submit_waiting(queue); /* a reader may have set slots free */
        task = fa_take(queue, start, stop, &more);
        if (!task) {
            if (!in_time && !queue->first) break;
            fa_add32(&event->asleep, 1);
            PyThread_release_lock(queue->lock);
            if (queue->control) fa_wake_readers(queue->control);
            in_time = fa_event_wait(event, seen, microseconds);
            fa_add32(&event->asleep, (uint32_t)-1);
            PyThread_acquire_lock(queue->lock, WAIT_LOCK);
            continue;
        }
        in_time = 1;
        if (more) fa_event_signal(event, 1);
        if (!task->batch) break;
        fa_draw_until(task, *stop);
        if (task->needs_python) break;
        threads = queue->threads;
        counted = fa_begin_warp(queue);
        PyThread_release_lock(queue->lock);
        has_memory = fa_has_scratch(&scratch, task->batch)
            && fa_run_chunk(task, *start, *stop, threads, scratch.values, &kept);
        PyThread_acquire_lock(queue->lock, WAIT_LOCK);
        if (!has_memory) task->out_of_memory = 1;
        fa_give_back(queue, task, *start, *stop, kept);
        fa_end_some(queue, task, *stop - *start);
        if (!counted) continue;
        PyThread_release_lock(queue->lock);
        fa_end_warp(counted);
        PyThread_acquire_lock(queue->lock, WAIT_LOCK);
    }
    queue->threads--;
    PyThread_release_lock(queue->lock);
    free(scratch.values);
    return task;
}

#endif
