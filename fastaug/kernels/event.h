/* Words that threads and processes share: atomic access, and sleep until somebody changes one.
 *
 * All accesses are sequentially consistent. `fa_event_wait` sleeps on a futex where there is one, with
 * other processes too; elsewhere it looks again and again, at most a thousand times a second.
 */
#ifndef FASTAUG_EVENT_H
#define FASTAUG_EVENT_H

#include <stddef.h>
#include <stdint.h>

#if defined(__linux__)
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#elif defined(_WIN32)
#include <windows.h>
#else
#include <time.h>
#endif

#if defined(__GNUC__)
static inline uint32_t fa_load32(const uint32_t *at) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }
static inline uint64_t fa_load64(const uint64_t *at) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }
static inline void fa_store32(uint32_t *at, uint32_t value) { __atomic_store_n(at, value, __ATOMIC_SEQ_CST); }
static inline void fa_store64(uint64_t *at, uint64_t value) { __atomic_store_n(at, value, __ATOMIC_SEQ_CST); }
static inline uint32_t fa_add32(uint32_t *at, uint32_t by) { return __atomic_add_fetch(at, by, __ATOMIC_SEQ_CST); }
static inline int fa_swap32(uint32_t *at, uint32_t from, uint32_t to)
{
    return __atomic_compare_exchange_n(at, &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
static inline int fa_swap64(uint64_t *at, uint64_t from, uint64_t to)
{
    return __atomic_compare_exchange_n(at, &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
#else
static __inline uint32_t fa_add32(uint32_t *at, uint32_t by)
{
    return (uint32_t)_InterlockedExchangeAdd((volatile long *)at, (long)by) + by;
}
static __inline int fa_swap32(uint32_t *at, uint32_t from, uint32_t to)
{
    return (uint32_t)_InterlockedCompareExchange((volatile long *)at, (long)to, (long)from) == from;
}
static __inline int fa_swap64(uint64_t *at, uint64_t from, uint64_t to)
{
    return (uint64_t)_InterlockedCompareExchange64((volatile long long *)at, (long long)to,
                                                   (long long)from) == from;
}
static __inline uint32_t fa_load32(const uint32_t *at) { return fa_add32((uint32_t *)at, 0); }
static __inline uint64_t fa_load64(const uint64_t *at)
{
    return (uint64_t)_InterlockedCompareExchange64((volatile long long *)at, 0, 0);
}
static __inline void fa_store32(uint32_t *at, uint32_t value)
{
    _InterlockedExchange((volatile long *)at, (long)value);
}
static __inline void fa_store64(uint64_t *at, uint64_t value)
{
    uint64_t now = fa_load64(at);
    while (!fa_swap64(at, now, value)) now = fa_load64(at);
}
#endif

/* Microseconds of a clock that all processes share. */
static uint64_t fa_now(void)
{
#if defined(_WIN32)
    return GetTickCount64() * 1000;
#else
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
#endif
}

/* Microseconds of a core that this thread has had; where that is not known, those that have passed. */
static uint64_t fa_thread_time(void)
{
#if defined(_WIN32)
    return fa_now();
#else
    struct timespec time;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)) return fa_now();
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
#endif
}

/* Something that happens again and again, and who sleeps until it does. */
typedef struct {
    uint32_t sequence;        /* changed each time */
    uint32_t asleep;          /* how many sleep, or are about to */
} fa_event;

/* Sleeps until `sequence` is another than `seen`, or for a time; may also return for no reason. Who
 * calls it has counted itself in `asleep` after it has read `seen`. Returns 0 if the time is over. */
static int fa_event_wait(fa_event *event, uint32_t seen, long long microseconds)
{
#if defined(__linux__)
    struct timespec time;
    time.tv_sec = (time_t)(microseconds / 1000000);
    time.tv_nsec = (long)(microseconds % 1000000 * 1000);
    return !(syscall(SYS_futex, &event->sequence, FUTEX_WAIT, seen, &time, NULL, 0) == -1
             && errno == ETIMEDOUT);
#else
    long long pause = 50;
    while (microseconds > 0) {
        if (fa_load32(&event->sequence) != seen) return 1;
#if defined(_WIN32)
        pause = 1000;
        Sleep(1);
#else
        struct timespec time = {0, (long)pause * 1000};
        nanosleep(&time, NULL);
#endif
        microseconds -= pause;
        if (pause < 1000) pause *= 2;
    }
    return fa_load32(&event->sequence) != seen;
#endif
}

/* Says that it happened, and wakes up to `count` of those who sleep. */
static void fa_event_signal(fa_event *event, ptrdiff_t count)
{
    fa_add32(&event->sequence, 1);
#if defined(__linux__)
    if (count > 0 && fa_load32(&event->asleep))
        syscall(SYS_futex, &event->sequence, FUTEX_WAKE, count < INT_MAX ? (int)count : INT_MAX, NULL,
                NULL, 0);
#else
    (void)count;
#endif
}

#endif
