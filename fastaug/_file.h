/* Files in memory, without a name, where the system has them. */
#ifndef FASTAUG_FILE_H
#define FASTAUG_FILE_H

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

#define FA_CLOSE_ON_EXEC 1u     /* MFD_CLOEXEC */

/* Returns the descriptor of a new file, or -1 with errno. */
static int fa_memory_file(const char *name)
{
    return (int)syscall(SYS_memfd_create, name, FA_CLOSE_ON_EXEC);
}

static void fa_close(int fd) { close(fd); }

static long fa_current_process(void) { return (long)getpid(); }
#else
#include <errno.h>

static int fa_memory_file(const char *name)
{
    (void)name;
    errno = ENOSYS;
    return -1;
}

static void fa_close(int fd) { (void)fd; }

static long fa_current_process(void) { return 0; }
#endif

#endif
