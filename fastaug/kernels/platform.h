/* What differs between compilers and processors: inlining, variants of a loop, the cache. */
#ifndef FASTAUG_PLATFORM_H
#define FASTAUG_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define FA_INLINE static inline __attribute__((always_inline))
#define FA_RESTRICT __restrict__
#else
#define FA_INLINE static __inline
#define FA_RESTRICT __restrict
#endif

/* The loader picks the widest variant that the processor runs. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define FA_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define FA_CLONES
#endif

#define FA_LINE 64  /* bytes in a line of the cache, at least */

/* Fetches an image that is read in no order that the processor would guess. */
FA_INLINE void fa_fetch(const void *image, size_t bytes)
{
#if defined(__GNUC__)
    const char *p = image;
    size_t i;
    for (i = 0; i < bytes; i += FA_LINE) __builtin_prefetch(p + i, 0, 2);
#else
    (void)image;
    (void)bytes;
#endif
}

/* Fetches one line of the cache; the address need not be valid. */
FA_INLINE void fa_fetch_line(uintptr_t address)
{
#if defined(__GNUC__)
    __builtin_prefetch((const void *)address, 0, 3);
#else
    (void)address;
#endif
}

#endif
