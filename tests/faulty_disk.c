/* A disk that fails: preloaded, it makes one system call on a store's files return an error.

   FAULT names a file; while it is there, its content says which call fails, on what, and with
   which error: `pwrite64 -journal 5`. The second word is how the file's name ends; `/` is a
   folder. Built and used by test_store_disks.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int fails(const char *call, const char *name) {
    char wanted[32], end[64];
    int error;
    const char *path = getenv("FAULT");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return 0;
    int read = fscanf(file, "%31s %63s %d", wanted, end, &error);
    fclose(file);
    size_t n = strlen(name), m = strlen(end);
    if (read != 3 || strcmp(wanted, call) || n < m || strcmp(name + n - m, end)) return 0;
    errno = error;
    return 1;
}

static int fails_at(const char *call, int fd) {
    char link[64], name[4096];
    struct stat status;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, name, sizeof name - 2);
    if (n <= 0) return 0;
    if (!fstat(fd, &status) && S_ISDIR(status.st_mode)) name[n++] = '/';
    name[n] = 0;
    return fails(call, name);
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
    REAL(pwrite64);
    return fails_at("write", fd) ? -1 : real(fd, data, n, at);
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
    REAL(pwrite);
    return fails_at("write", fd) ? -1 : real(fd, data, n, at);
}
ssize_t pread64(int fd, void *data, size_t n, off64_t at) {
    REAL(pread64);
    return fails_at("read", fd) ? -1 : real(fd, data, n, at);
}
ssize_t pread(int fd, void *data, size_t n, off_t at) {
    REAL(pread);
    return fails_at("read", fd) ? -1 : real(fd, data, n, at);
}
int fsync(int fd) {
    REAL(fsync);
    return fails_at("sync", fd) ? -1 : real(fd);
}
int fdatasync(int fd) {
    REAL(fdatasync);
    return fails_at("sync", fd) ? -1 : real(fd);
}
int unlink(const char *name) {
    REAL(unlink);
    return fails("unlink", name) ? -1 : real(name);
}
