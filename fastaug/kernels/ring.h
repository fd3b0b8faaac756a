/* Files on their way to pixels, in memory that a program shares with those who read its files.
 *
 * A ring has slots for decoded images, and the paths of all files. A control block, one for the rings
 * that have as many readers, says which rings there are, who may run, and who sleeps.
 *
 *     program (threads without the GIL)              reader (a process, or a thread)
 *       submit: files[slot], word WAITING ─────────► claim: word STARTED, with its number
 *               queue[request], submitted + 1                claimed + 1
 *       watch:  word WATCHED ────────────────────────┐       reads, decodes into the slot
 *       chunk is there: warp, word FREE ◄────────────┴─ done: word DONE or FAILED, event `ready`
 *       abandon: word ABANDONED ───────────────────► done: word FREE
 *
 * Who writes what. The program alone makes a word WAITING, and takes it from WAITING, DONE or FAILED
 * to FREE; a reader takes it from WAITING to STARTED, and what it has STARTED to DONE, FAILED or,
 * where it is ABANDONED, to FREE. Each of these is one compare-and-swap, so what a reader has begun
 * can be told from the words at any time. `queue` and `submitted` are the program's; `claimed` may be
 * moved on by anybody past a request that is not WAITING any more.
 *
 * Who waits for whom. A reader waits only for its own event, a thread only for `ready`; nobody holds a
 * lock that is in shared memory. A reader that dies
 *   - before its claim has changed nothing;
 *   - between the claim and `claimed + 1`: others move `claimed` on;
 *   - over a file: its slot stays STARTED by it, until the program, which waits for its end, makes it
 *     WAITING again, for the reader that takes its place, or FAILED;
 *   - between DONE and the event: the program, which waits for its end, wakes the threads;
 *   - asleep: it stays counted as asleep until the program resets that with its end.
 * If the program dies, its readers end, and the memory with the last of them.
 *
 * Nothing here needs Python, nor a lock of its own: what is said to be the program's is done under the
 * lock of the queue in queue.h.
 */
#ifndef FASTAUG_RING_H
#define FASTAUG_RING_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "event.h"

/* A slot's word: state, flags, the reader that has it STARTED, and the end of its request's number. */
enum fa_state { FA_FREE, FA_WAITING, FA_STARTED, FA_DONE, FA_FAILED };

#define FA_STATE(word) ((word) & 7u)
#define FA_WATCHED 8u           /* a thread may sleep until it is there */
#define FA_ABANDONED 16u        /* nobody wants it any more */
#define FA_READER(word) ((word) >> 5 & 0x7FFu)
#define FA_TAG(word) ((word) >> 16)
#define FA_WORD(tag, reader, flags, state) \
    ((uint32_t)(tag) << 16 | (uint32_t)(reader) << 5 | (uint32_t)(flags) | (uint32_t)(state))

#define FA_ENTRIES 1024         /* rings that one control block knows at a time */
#define FA_READERS 1023         /* readers of a kind, at most */
#define FA_NOBODY 0x7FFu        /* the number of a reader that has no record */
#define FA_PATH_BYTES 192

/* Who reads the files of a ring. */
enum fa_kind { FA_PROCESSES, FA_THREADS, FA_USERS, FA_KINDS };

typedef struct {
    uint32_t generation;        /* of the ring that is open here; 0: none */
    uint32_t kind;              /* enum fa_kind */
    uint64_t device, inode, size;
    char path[FA_PATH_BYTES];   /* of its memory */
    /* copies of the ring's counters, for those who have not mapped it */
    uint64_t submitted;
    char pad1[56];
    uint64_t claimed;
    char pad2[56];
} fa_entry;

/* What is known of one reader; on a cache line of its own. */
typedef struct {
    fa_event wakes;
    uint64_t redo;              /* a slot that it has to read before all else, or 0 */
    uint64_t busy;              /* the entry and word of what it reads, or 0 */
    uint64_t since;             /* when it began to, of fa_now */
    char pad[32];
} fa_reader;

typedef struct {
    fa_event ready;             /* something for the program's threads */
    char pad1[56];
    uint32_t warping;           /* threads of the program at work */
    char pad2[60];
    uint32_t limit;             /* readers and threads that may work at a time */
    uint32_t cores;             /* that there are */
    uint32_t entries;           /* that have ever been used */
    uint32_t readers;           /* of each kind that has records */
    uint32_t load_truncated;    /* Pillow's settings, in the program */
    uint32_t stopped;           /* whether the readers in threads are to end */
    int64_t most_pixels;
    uint64_t reading;           /* part of a file's time that the disk takes, of FA_WHOLE */
    uint64_t file_time;         /* of a core, that a reader in a thread takes for a file: nanoseconds */
    char pad4[16];
    fa_entry entry[FA_ENTRIES];
    fa_reader reader[1];        /* processes, then threads */
} fa_control;

typedef struct {
    uint64_t slots, slot_bytes, files, name_bytes, about_bytes;
    uint64_t wanted;            /* images of batches that have no slot yet */
    uint64_t follows_pillow;    /* whether its readers take on Pillow's settings of the program */
    char pad[8];
} fa_ring_header;

/* Which files a reader opens before it has the GIL. */
enum fa_opens { FA_OPENS_NONE, FA_OPENS_ABSOLUTE, FA_OPENS_ALL };

/* A ring as one process sees it. */
typedef struct {
    fa_ring_header *header;
    uint32_t slots;
    uint32_t *words;            /* a slot's state, and more */
    uint32_t *queue;            /* slots of the last requests, by the request's number */
    int64_t *files;             /* the number of the file that a slot is for */
    uint64_t *draws;            /* and seed and epoch of what is drawn for it */
    uint64_t *offsets;          /* of each name, and of the end */
    char *names;
    char *about;
    char *images;
    fa_control *control;
    fa_entry *entry;
    uint32_t generation;
    int opens;                  /* enum fa_opens */
    /* the program's */
    uint64_t next;              /* requests so far */
    int32_t *free_slots;
    ptrdiff_t free_count;
    int32_t *abandoned;         /* slots that readers will set free */
    ptrdiff_t abandoned_count;
} fa_ring;

#define FA_ALIGN(value, to) (((value) + (to) - 1) / (to) * (to))
#define FA_PAGE 4096u

/* Sets where everything lies; returns the bytes in all. memory: the ring's, or NULL. */
static uint64_t fa_ring_layout(const fa_ring_header *header, char *memory, fa_ring *ring)
{
    uint64_t at = sizeof(fa_ring_header);
#define FA_PART(name, type, count) \
    if (ring) ring->name = (type *)(void *)(memory + at); \
    at += FA_ALIGN((uint64_t)(count) * sizeof(type), 64);
    FA_PART(words, uint32_t, header->slots)
    FA_PART(queue, uint32_t, header->slots)
    FA_PART(files, int64_t, header->slots)
    FA_PART(draws, uint64_t, 2 * header->slots)
    FA_PART(offsets, uint64_t, header->files + 1)
    FA_PART(names, char, header->name_bytes)
    FA_PART(about, char, header->about_bytes)
    at = FA_ALIGN(at, FA_PAGE);
    FA_PART(images, char, header->slots * header->slot_bytes)
#undef FA_PART
    if (ring) {
        ring->header = (fa_ring_header *)(void *)memory;
        ring->slots = (uint32_t)header->slots;
    }
    return at;
}

static uint64_t fa_control_bytes(uint32_t readers)
{
    return sizeof(fa_control) + 2 * (uint64_t)readers * sizeof(fa_reader);
}

/* ---- the readers' side ------------------------------------------------------------------------ */

#define FA_LONG 1000000         /* microseconds after which a reader at a file leaves its core to others */

/* Readers of a kind that have been at the same file for long: their files do not come, most likely. */
static uint32_t fa_hung(fa_control *control, uint32_t kind)
{
    const fa_reader *reader = control->reader + kind * control->readers;
    const uint64_t now = fa_now();
    uint32_t k, count = 0;
    for (k = 0; k < control->readers; k++)
        if (fa_load64(&reader[k].busy) && now > fa_load64(&reader[k].since) + FA_LONG) count++;
    return count;
}

/* Nanoseconds for which a thread keeps the GIL from others over a file: its own code, and the times
 * that one thread hands it to the next, which has to wake up. Measured on 16 cores, with files of
 * 32x32: two or three threads read 30,000 a second, more read fewer and take twice the time of a core. */
#define FA_FILE_GIL 40000

/* Readers in threads that can share the GIL; more would only wait for one another. */
static uint32_t fa_share_gil(const fa_control *control)
{
    const uint64_t time = fa_load64(&control->file_time);
    return time && time / FA_FILE_GIL < FA_READERS ? (uint32_t)(time / FA_FILE_GIL) + 1 : FA_READERS;
}

/* Readers of a kind that may work: what the warps leave of the cores, but one in any case. */
static uint32_t fa_allowed(fa_control *control, uint32_t kind)
{
    const uint32_t limit = fa_load32(&control->limit), warping = fa_load32(&control->warping);
    const uint32_t most = kind == FA_THREADS ? fa_share_gil(control) : FA_READERS;
    const uint32_t left = limit > warping + 1 ? limit - warping : 1;
    return (left < most ? left : most) + fa_hung(control, kind);
}

/* Copies the path of the file of a slot, if a reader is to open it.
 *
 * path: Room for `room` bytes.
 *
 * Returns whether it is there. */
static int fa_path_to_open(const fa_ring *ring, int32_t slot, char *path, size_t room)
{
    const int64_t file = ring->files[slot];
    size_t size;
    if (ring->opens == FA_OPENS_NONE || file < 0 || (uint64_t)file >= ring->header->files) return 0;
    size = (size_t)(ring->offsets[file + 1] - ring->offsets[file]);
    if (!size || size >= room) return 0;
    memcpy(path, ring->names + ring->offsets[file], size);
    path[size] = 0;
    return !memchr(path, 0, size) && (ring->opens == FA_OPENS_ALL || path[0] == '/');
}

/* Takes the next file of a ring; returns its slot, or -1 if none waits. */
static int32_t fa_claim(fa_ring *ring, uint32_t reader)
{
    fa_entry *entry = ring->entry;
    for (;;) {
        const uint64_t claimed = fa_load64(&entry->claimed);
        uint32_t slot, word;
        /* the entry may be another ring's by now: its numbers have another generation */
        if (claimed >> 48 != ring->generation || fa_load64(&entry->submitted) == claimed) return -1;
        slot = fa_load32(&ring->queue[(claimed & 0xFFFFFFFFFFFFu) % ring->slots]);
        word = fa_load32(&ring->words[slot]);
        if (FA_STATE(word) != FA_WAITING || FA_TAG(word) != (claimed & 0xFFFFu)) {
            fa_swap64(&entry->claimed, claimed, claimed + 1);
            continue;
        }
        if (!fa_swap32(&ring->words[slot], word,
                       FA_WORD(FA_TAG(word), reader, word & FA_WATCHED, FA_STARTED)))
            continue;
        fa_swap64(&entry->claimed, claimed, claimed + 1);
        return (int32_t)slot;
    }
}

/* Says what became of a file. Returns 0 if the slot was taken from the reader. */
static int fa_settle(fa_ring *ring, uint32_t slot, uint32_t reader, enum fa_state state)
{
    for (;;) {
        const uint32_t word = fa_load32(&ring->words[slot]);
        const uint32_t after = word & FA_ABANDONED ? FA_FREE
                                                   : FA_WORD(FA_TAG(word), reader, 0, state);
        if (FA_STATE(word) != FA_STARTED || FA_READER(word) != reader) return 0;
        if (!fa_swap32(&ring->words[slot], word, after)) continue;
        if (word & (FA_WATCHED | FA_ABANDONED)) fa_event_signal(&ring->control->ready, 1);
        return 1;
    }
}

enum fa_outcome { FA_NOTHING, FA_CLAIMED, FA_UNKNOWN, FA_GONE };

#define FA_REDO(entry, slot, generation) \
    ((uint64_t)(generation) << 48 | (uint64_t)(slot) << 16 | (uint64_t)((entry) + 1))

/* Looks once for something to do. rings: those that the reader has mapped, by their entry. *entry:
 * that of the file before; others come first, so that no iterator waits until another has enough. */
static enum fa_outcome fa_look(fa_control *control, fa_ring **rings, uint32_t reader, uint32_t kind,
                               int32_t *entry, int32_t *slot)
{
    fa_reader *me = &control->reader[reader];
    const int may_claim = reader % control->readers < fa_allowed(control, kind);
    const uint32_t entries = fa_load32(&control->entries);
    const uint64_t redo = fa_load64(&me->redo);
    const uint32_t before = (uint32_t)*entry;
    uint32_t n, k;
    if (redo) {
        const uint32_t e = (uint32_t)(redo & 0xFFFFu) - 1, generation = (uint32_t)(redo >> 48);
        *entry = (int32_t)e;
        *slot = (int32_t)(redo >> 16 & 0xFFFFFFFFu);
        if (fa_load32(&control->entry[e].generation) != generation) {
            fa_store64(&me->redo, 0);
        } else if (!rings[e] || rings[e]->generation != generation) {
            return FA_UNKNOWN;
        } else {
            const uint32_t word = fa_load32(&rings[e]->words[*slot]);
            const int claimed = FA_STATE(word) == FA_WAITING
                && fa_swap32(&rings[e]->words[*slot], word,
                             FA_WORD(FA_TAG(word), reader, word & FA_WATCHED, FA_STARTED));
            fa_store64(&me->redo, 0);
            if (claimed) return FA_CLAIMED;
        }
    }
    for (n = 1; n <= entries; n++) {
        fa_entry *e = &control->entry[k = (before + n) % entries];
        const uint32_t generation = fa_load32(&e->generation);
        *entry = (int32_t)k;
        if (rings[k] && rings[k]->generation != generation) return FA_GONE;
        if (!generation || e->kind != kind || !may_claim) continue;
        if (fa_load64(&e->submitted) == fa_load64(&e->claimed)) continue;
        if (!rings[k]) return FA_UNKNOWN;
        *slot = fa_claim(rings[k], reader);
        if (*slot >= 0) return FA_CLAIMED;
    }
    return FA_NOTHING;
}

/* The same, asleep until there is something, or for a time. */
static enum fa_outcome fa_next(fa_control *control, fa_ring **rings, uint32_t reader, uint32_t kind,
                               long long microseconds, int32_t *entry, int32_t *slot)
{
    fa_reader *me = &control->reader[reader];
    int in_time = 1;
    fa_store64(&me->busy, 0);
    for (;;) {
        enum fa_outcome outcome;
        uint32_t seen;
        if (kind == FA_THREADS && fa_load32(&control->stopped)) return FA_NOTHING;
        outcome = fa_look(control, rings, reader, kind, entry, slot);
        if (outcome == FA_NOTHING && in_time) {
            seen = fa_load32(&me->wakes.sequence);
            fa_store32(&me->wakes.asleep, 1);
            outcome = fa_look(control, rings, reader, kind, entry, slot);
            if (outcome == FA_NOTHING) in_time = fa_event_wait(&me->wakes, seen, microseconds);
            fa_store32(&me->wakes.asleep, 0);
            if (outcome == FA_NOTHING) continue;
        }
        if (outcome == FA_CLAIMED) {
            fa_store64(&me->since, fa_now());
            fa_store64(&me->busy, (uint64_t)(*entry + 1) << 32 | rings[*entry]->words[*slot]);
        }
        return outcome;
    }
}

/* Part of the time that waiting for the disk may take before more readers than cores are let in. */
#define FA_READING_IS_LITTLE 0.25

#define FA_WHOLE 1073741824.0
#define FA_FILES 64             /* that the mean is made of */

#define FA_LONGEST 1e6          /* seconds of a core for a file */

/* Takes the seconds of a core into account that a reader in a thread took for a file. */
static void fa_account_thread(fa_control *control, double seconds)
{
    const uint64_t before = fa_load64(&control->file_time);
    const double now = 1e9 * seconds, mean = before ? (double)before : now;
    if (!(seconds > 0 && seconds < FA_LONGEST)) return; /* a clock that stands, or of another thread */
    fa_swap64(&control->file_time, before, /* or another was faster */
              (uint64_t)(mean + (now - mean) / FA_FILES) + 1);
}

/* Takes the time of a file into account: readers that wait for the disk leave their core to others.
 * It is one mean for all: that of a reader which may not work any more would stay what it was. */
static void fa_account(fa_control *control, double reading, double in_all)
{
    const uint64_t before = fa_load64(&control->reading);
    const double part = reading < in_all ? reading / in_all : 1;
    double mean = (double)before / FA_WHOLE;
    uint32_t limit = control->cores;
    if (!(in_all > 0)) return;
    mean += (part - mean) / FA_FILES;
    fa_swap64(&control->reading, before, (uint64_t)(mean * FA_WHOLE)); /* or another was faster */
    if (mean > FA_READING_IS_LITTLE) {
        const double busy = 1 - mean;
        const double wanted = control->cores / (busy > 1e-3 ? busy : 1e-3) + 0.5;
        limit = wanted < control->readers ? (uint32_t)wanted : control->readers;
    }
    if (limit > control->readers) limit = control->readers;
    if (limit != fa_load32(&control->limit)) fa_store32(&control->limit, limit);
}

/* ---- the program's side ----------------------------------------------------------------------- */

/* Requests of a ring that no reader has. */
static uint64_t fa_unclaimed(fa_entry *entry)
{
    const uint64_t claimed = fa_load64(&entry->claimed), submitted = fa_load64(&entry->submitted);
    return fa_load32(&entry->generation) && submitted > claimed ? submitted - claimed : 0;
}

static void fa_wake_reader(fa_reader *reader)
{
    if (fa_swap32(&reader->wakes.asleep, 1, 0)) {
        fa_add32(&reader->wakes.sequence, 1);
#if defined(__linux__)
        syscall(SYS_futex, &reader->wakes.sequence, FUTEX_WAKE, 1, NULL, NULL, 0);
#endif
    }
}

/* Wakes as many of those who may work as there is work for. */
static void fa_wake_readers(fa_control *control)
{
    const uint32_t entries = fa_load32(&control->entries);
    uint64_t waiting[FA_KINDS] = {0};
    uint32_t kind, k;
    for (k = 0; k < entries; k++) waiting[control->entry[k].kind] += fa_unclaimed(&control->entry[k]);
    for (kind = 0; kind < FA_USERS; kind++) {
        const uint32_t allowed = waiting[kind] ? fa_allowed(control, kind) : 0;
        for (k = 0; k < allowed && k < control->readers && waiting[kind]; k++) {
            fa_reader *reader = &control->reader[kind * control->readers + k];
            if (!fa_load32(&reader->wakes.asleep)) continue;
            fa_wake_reader(reader);
            waiting[kind]--;
        }
    }
}

/* Takes back the slots whose readers have come to an end. */
static void fa_reclaim(fa_ring *ring)
{
    ptrdiff_t k = 0;
    while (k < ring->abandoned_count) {
        const int32_t slot = ring->abandoned[k];
        if (FA_STATE(fa_load32(&ring->words[slot])) == FA_FREE) {
            ring->free_slots[ring->free_count++] = slot;
            ring->abandoned[k] = ring->abandoned[--ring->abandoned_count];
        } else {
            k++;
        }
    }
}

/* Moves `claimed` past the requests that were abandoned. Returns how many are left. */
static uint64_t fa_skip(fa_ring *ring)
{
    fa_entry *entry = ring->entry;
    for (;;) {
        const uint64_t claimed = fa_load64(&entry->claimed);
        uint32_t slot, word;
        if (claimed == ring->next) return 0;
        slot = ring->queue[(claimed & 0xFFFFFFFFFFFFu) % ring->slots];
        word = fa_load32(&ring->words[slot]);
        if (FA_STATE(word) == FA_WAITING && FA_TAG(word) == (claimed & 0xFFFFu))
            return ring->next - claimed;
        fa_swap64(&entry->claimed, claimed, claimed + 1);
    }
}

/* Asks for a file. Returns its slot, or -1 if there is none free.
 *
 * draws: Seed and epoch of what its reader draws for it.
 * watched: Whether to wake a thread when it is there. */
static int32_t fa_submit(fa_ring *ring, int64_t file, const uint64_t *draws, int watched)
{
    fa_entry *entry = ring->entry;
    const uint64_t number = ring->next & 0xFFFFFFFFFFFFu;
    int32_t slot;
    if (!ring->free_count) return -1;
    if (ring->next - fa_load64(&entry->claimed) >= ring->slots && fa_skip(ring) >= ring->slots)
        return -1;
    slot = ring->free_slots[--ring->free_count];
    ring->files[slot] = file;
    ring->draws[2 * slot] = draws[0];
    ring->draws[2 * slot + 1] = draws[1];
    fa_store32(&ring->queue[number % ring->slots], (uint32_t)slot);
    fa_store32(&ring->words[slot], FA_WORD(number & 0xFFFFu, 0, watched ? FA_WATCHED : 0, FA_WAITING));
    fa_store64(&entry->submitted, ++ring->next);
    return slot;
}

/* Gives a slot back that the program has read. */
static void fa_release(fa_ring *ring, int32_t slot)
{
    fa_store32(&ring->words[slot], FA_FREE);
    ring->free_slots[ring->free_count++] = slot;
}

/* Gives a slot back that nobody has read. */
static void fa_abandon(fa_ring *ring, int32_t slot)
{
    for (;;) {
        const uint32_t word = fa_load32(&ring->words[slot]);
        if (FA_STATE(word) == FA_STARTED) {
            if (!fa_swap32(&ring->words[slot], word, word | FA_ABANDONED)) continue;
            ring->abandoned[ring->abandoned_count++] = slot;
            return;
        }
        if (fa_swap32(&ring->words[slot], word, FA_FREE)) {
            ring->free_slots[ring->free_count++] = slot;
            return;
        }
    }
}

/* Whether a slot's image, or the word that there is none, is there; if not, a thread will be woken. */
static int fa_is_there(fa_ring *ring, int32_t slot)
{
    for (;;) {
        const uint32_t word = fa_load32(&ring->words[slot]);
        if (FA_STATE(word) == FA_DONE || FA_STATE(word) == FA_FAILED) return 1;
        if (word & FA_WATCHED || fa_swap32(&ring->words[slot], word, word | FA_WATCHED)) return 0;
    }
}

/* The slot that a reader has STARTED, or -1. */
static int32_t fa_held_by(const fa_ring *ring, uint32_t reader)
{
    uint32_t slot;
    for (slot = 0; slot < ring->slots; slot++) {
        const uint32_t word = fa_load32(&ring->words[slot]);
        if (FA_STATE(word) == FA_STARTED && FA_READER(word) == reader) return (int32_t)slot;
    }
    return -1;
}

/* Takes a slot from a reader that is dead: WAITING, for the one that takes its place, or FAILED. */
static void fa_take_from(fa_ring *ring, int32_t slot, enum fa_state state)
{
    for (;;) {
        const uint32_t word = fa_load32(&ring->words[slot]);
        const uint32_t after = word & FA_ABANDONED
            ? FA_FREE : FA_WORD(FA_TAG(word), 0, word & FA_WATCHED, state);
        if (!fa_swap32(&ring->words[slot], word, after)) continue;
        fa_event_signal(&ring->control->ready, 1);
        return;
    }
}

#endif
