/* Files of the system, without Python: in memory, without a name, and small ones on the disk. */
#ifndef FASTAUG_FILE_H
#define FASTAUG_FILE_H

#include <stddef.h>

#define FA_SMALL_FILE (1 << 16)  /* bytes of a file that is read as a whole */
#define FA_LONG_PATH 4096        /* bytes of the path of one, its end included */

#include <errno.h>
#if !defined(_WIN32)
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#if defined(__linux__)
#include <sys/syscall.h>

#define FA_CLOSE_ON_EXEC 1u     /* MFD_CLOEXEC */

/* Returns the descriptor of a new file, or -1 with errno. */
static int fa_memory_file(const char *name)
{
    return (int)syscall(SYS_memfd_create, name, FA_CLOSE_ON_EXEC);
}

static long fa_current_process(void) { return (long)getpid(); }
#else
static int fa_memory_file(const char *name)
{
    (void)name;
    errno = ENOSYS;
    return -1;
}

static long fa_current_process(void) { return 0; }
#endif

#if defined(_WIN32)
static void fa_close(int fd) { (void)fd; }

static ptrdiff_t fa_read_small(const char *path, char *data, int *fd)
{
    (void)path;
    (void)data;
    *fd = -1;
    return -1;
}
#else
static void fa_close(int fd) { close(fd); }

/* Opens a regular file, and reads it where it is a small one.
 *
 * What is not regular is not even opened here: that could wait for ever, and would let in a writer of a
 * FIFO, who may have left it again before Python opens it.
 *
 * path: Its path.
 * data: Room for FA_SMALL_FILE bytes.
 * fd: Gets the descriptor of a large file, which is open; else -1.
 *
 * Returns the number of bytes, or -1 if the file is not read. */
static ptrdiff_t fa_read_small(const char *path, char *data, int *fd)
{
    struct stat status;
    ptrdiff_t size = 0, count;
    *fd = -1;
    if (stat(path, &status) || !S_ISREG(status.st_mode)) return -1;
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* it may be a FIFO by now */
    if (*fd < 0) return -1;
    if (status.st_size >= FA_SMALL_FILE) return -1;
    do { /* to its end: it may have another size by now */
        count = pread(*fd, data + size, (size_t)(FA_SMALL_FILE - size), size);
        if (count > 0) size += count;
    } while ((count > 0 && size < FA_SMALL_FILE) || (count < 0 && errno == EINTR));
    if (count > 0) return -1;
    close(*fd);
    *fd = -1;
    return count < 0 ? -1 : size; /* an error is for Python to find */
}
#endif

#endif
