/* Preloaded into a process: writes down, in order, every call that changes one folder.
 *
 * EDGEINC_TRACE_FOLDER is the folder, EDGEINC_TRACE_FILE where the records go. A record is a
 * head of 32 bytes (kind, descriptor, offset, length of what follows) and then the bytes that
 * were written, or one or two paths. Only calls that succeeded are recorded. What the disk
 * model does not know ends the process: nothing may be missed in silence.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS 4096

struct head {
    int64_t kind, descriptor, offset, length;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char folder[PATH_MAX];
static int trace = -1;
static char watched[DESCRIPTORS];

#define REAL(name) ((__typeof__(name) *)real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (found == NULL) {
        fprintf(stderr, "trace: there is no %s\n", name);
        _exit(99);
    }
    return found;
}

static void refuse(const char *what) {
    fprintf(stderr, "trace: the disk model does not know %s\n", what);
    _exit(99);
}

static void put(const void *bytes, size_t length) {
    const char *at = bytes;
    while (length > 0) {
        ssize_t done = REAL(write)(trace, at, length);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            refuse("a trace that cannot be written");
        at += done;
        length -= (size_t)done;
    }
}

/* A record; the lock is held. */
static void record(char kind, int descriptor, int64_t offset, const void *bytes, size_t length) {
    int kept = errno;
    struct head head = {kind, descriptor, offset, (int64_t)length};
    put(&head, sizeof head);
    put(bytes, length);
    errno = kept;
}

__attribute__((constructor)) static void start(void) {
    const char *file = getenv("EDGEINC_TRACE_FILE"), *where = getenv("EDGEINC_TRACE_FOLDER");
    if (file == NULL || where == NULL || realpath(where, folder) == NULL)
        return;
    trace = REAL(open)(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (trace < 0)
        refuse("a trace that cannot be opened");
}

/* For the driver: a mark between the calls. */
void edgeinc_mark(const char *bytes, int64_t length) {
    pthread_mutex_lock(&lock);
    record('m', -1, 0, bytes, (size_t)length);
    pthread_mutex_unlock(&lock);
}

/* Is this the folder, or something in it? */
static int within(const char *path) {
    size_t length = strlen(folder);
    if (trace < 0 || path == NULL)
        return 0;
    if (path[0] != '/') {
        char here[PATH_MAX];
        return getcwd(here, sizeof here) != NULL && strncmp(here, folder, length) == 0;
    }
    return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static int seen(int descriptor) {
    return trace >= 0 && descriptor >= 0 && descriptor < DESCRIPTORS && watched[descriptor];
}

static int opened(const char *path, int flags, mode_t mode, int at) {
    if (!within(path))
        return REAL(openat)(at, path, flags, mode);
    if (path[0] != '/')
        refuse("a relative path");
    pthread_mutex_lock(&lock);
    int descriptor = REAL(openat)(at, path, flags, mode);
    if (descriptor >= DESCRIPTORS)
        refuse("so many open files");
    if (descriptor >= 0) {
        watched[descriptor] = 1;
        record('o', descriptor, flags, path, strlen(path));
        if (flags & (O_DSYNC | O_SYNC | O_DIRECT))
            refuse("files opened for synchronous writing");
    }
    pthread_mutex_unlock(&lock);
    return descriptor;
}

static mode_t mode_of(int flags, va_list rest) {
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...) {                                                   \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = mode_of(flags, rest);                                                        \
        va_end(rest);                                                                              \
        return opened(path, flags, mode, AT_FDCWD);                                                \
    }
#define OPENAT(name)                                                                               \
    int name(int at, const char *path, int flags, ...) {                                           \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = mode_of(flags, rest);                                                        \
        va_end(rest);                                                                              \
        return opened(path, flags, mode, at);                                                      \
    }
#define CREAT(name)                                                                                \
    int name(const char *path, mode_t mode) {                                                      \
        return opened(path, O_WRONLY | O_CREAT | O_TRUNC, mode, AT_FDCWD);                         \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
CREAT(creat)
CREAT(creat64)

int close(int descriptor) {
    if (!seen(descriptor))
        return REAL(close)(descriptor);
    pthread_mutex_lock(&lock);
    watched[descriptor] = 0;
    record('c', descriptor, 0, "", 0);
    int result = REAL(close)(descriptor);
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t write(int descriptor, const void *bytes, size_t length) {
    if (!seen(descriptor))
        return REAL(write)(descriptor, bytes, length);
    pthread_mutex_lock(&lock);
    ssize_t done = REAL(write)(descriptor, bytes, length);
    if (done > 0)
        record('w', descriptor, lseek(descriptor, 0, SEEK_CUR) - done, bytes, (size_t)done);
    pthread_mutex_unlock(&lock);
    return done;
}

#define PWRITE(name, offset_t)                                                                     \
    ssize_t name(int descriptor, const void *bytes, size_t length, offset_t offset) {              \
        if (!seen(descriptor))                                                                     \
            return REAL(name)(descriptor, bytes, length, offset);                                  \
        pthread_mutex_lock(&lock);                                                                 \
        ssize_t done = REAL(name)(descriptor, bytes, length, offset);                              \
        if (done > 0)                                                                              \
            record('w', descriptor, offset, bytes, (size_t)done);                                  \
        pthread_mutex_unlock(&lock);                                                               \
        return done;                                                                               \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, offset_t)                                                                   \
    int name(int descriptor, offset_t size) {                                                      \
        if (!seen(descriptor))                                                                     \
            return REAL(name)(descriptor, size);                                                   \
        pthread_mutex_lock(&lock);                                                                 \
        int result = REAL(name)(descriptor, size);                                                 \
        if (result == 0)                                                                           \
            record('t', descriptor, size, "", 0);                                                  \
        pthread_mutex_unlock(&lock);                                                               \
        return result;                                                                             \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define SYNC(name)                                                                                 \
    int name(int descriptor) {                                                                     \
        if (!seen(descriptor))                                                                     \
            return REAL(name)(descriptor);                                                         \
        pthread_mutex_lock(&lock);                                                                 \
        int result = REAL(name)(descriptor);                                                       \
        if (result == 0)                                                                           \
            record('s', descriptor, 0, "", 0);                                                     \
        pthread_mutex_unlock(&lock);                                                               \
        return result;                                                                             \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
    if (!within(path))
        return REAL(unlink)(path);
    pthread_mutex_lock(&lock);
    int result = REAL(unlink)(path);
    if (result == 0)
        record('u', -1, 0, path, strlen(path));
    pthread_mutex_unlock(&lock);
    return result;
}

int unlinkat(int at, const char *path, int flags) {
    if (within(path) && at == AT_FDCWD && flags == 0)
        return unlink(path);
    if (within(path) || seen(at))
        refuse("unlinkat");
    return REAL(unlinkat)(at, path, flags);
}

int rename(const char *from, const char *to) {
    if (!within(from) && !within(to))
        return REAL(rename)(from, to);
    if (!within(from) || !within(to))
        refuse("a file that is moved into the folder or out of it");
    pthread_mutex_lock(&lock);
    int result = REAL(rename)(from, to);
    if (result == 0) {
        char both[2 * PATH_MAX];
        int length = snprintf(both, sizeof both, "%s%c%s", from, '\0', to);
        record('r', -1, 0, both, (size_t)length);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

/* Calls that SQLite and edgeinc have no use for. */
#define NEVER(type, name, parameters, arguments, descriptor)                                       \
    type name parameters {                                                                         \
        if (seen(descriptor))                                                                      \
            refuse(#name);                                                                         \
        return REAL(name) arguments;                                                               \
    }
NEVER(ssize_t, writev, (int d, const struct iovec *v, int n), (d, v, n), d)
NEVER(ssize_t, pwritev, (int d, const struct iovec *v, int n, off_t o), (d, v, n, o), d)
NEVER(ssize_t, pwritev64, (int d, const struct iovec *v, int n, off64_t o), (d, v, n, o), d)
NEVER(int, fallocate, (int d, int m, off_t o, off_t n), (d, m, o, n), d)
NEVER(int, fallocate64, (int d, int m, off64_t o, off64_t n), (d, m, o, n), d)
NEVER(int, posix_fallocate, (int d, off_t o, off_t n), (d, o, n), d)
NEVER(int, posix_fallocate64, (int d, off64_t o, off64_t n), (d, o, n), d)
NEVER(int, dup, (int d), (d), d)
NEVER(int, dup2, (int d, int e), (d, e), d)

#define NO_PATH(name, parameters, arguments, path)                                                 \
    int name parameters {                                                                          \
        if (within(path))                                                                          \
            refuse(#name);                                                                         \
        return REAL(name) arguments;                                                               \
    }
NO_PATH(truncate, (const char *p, off_t n), (p, n), p)
NO_PATH(truncate64, (const char *p, off64_t n), (p, n), p)
NO_PATH(link, (const char *p, const char *q), (p, q), q)
NO_PATH(symlink, (const char *p, const char *q), (p, q), q)
NO_PATH(mkdir, (const char *p, mode_t m), (p, m), p)
NO_PATH(rmdir, (const char *p), (p), p)
NO_PATH(renameat, (int d, const char *p, int e, const char *q), (d, p, e, q), p)

#define MMAP(name, offset_t)                                                                       \
    void *name(void *to, size_t length, int how, int flags, int descriptor, offset_t offset) {     \
        if (seen(descriptor) && (how & PROT_WRITE) && (flags & MAP_SHARED))                        \
            refuse("writing through a mapping");                                                   \
        return REAL(name)(to, length, how, flags, descriptor, offset);                             \
    }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)
