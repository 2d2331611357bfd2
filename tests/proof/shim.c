/* Stands between a process and the system, and breaks what it is told to break.
 *
 * Counted are the calls that change files below SHIM_ROOT: opening with O_CREAT or O_TRUNC, write, pwrite, writev,
 * ftruncate, fsync, fdatasync, rename, unlink. shim_arm(mode, at) says what happens at the `at`-th of them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { COUNT, KILL_BEFORE, KILL_AFTER, KILL_TORN, FULL, READ_ONLY, CLOCK };
static int mode = COUNT;
static long at = 0, *count = NULL;
static long own = 0;
static pid_t victim = 0;
static const char *root = NULL, *shadow = NULL;

void shim_arm(int new_mode, long new_at, const char *new_root, const char *new_shadow, long *counter) {
    victim = getpid(), mode = new_mode, at = new_at, root = strdup(new_root), count = counter ? counter : &own;
    shadow = new_shadow && *new_shadow ? strdup(new_shadow) : NULL;
}

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }
#define REAL(type, name, ...) \
    static type (*f)(__VA_ARGS__) = NULL; \
    if (!f) f = real(name)

static int below(const char *path) { return root && path && strncmp(path, root, strlen(root)) == 0; }

static int path_below(const char *path) {
    char whole[PATH_MAX * 2];
    if (!root) return 0;
    if (path[0] == '/') return below(path);
    if (!getcwd(whole, PATH_MAX)) return 0;
    strcat(whole, "/");
    strncat(whole, path, PATH_MAX - 1);
    return below(whole);
}

static int fd_below(int fd) {
    char link[64], path[PATH_MAX];
    if (!root) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return below(path);
}

static void die(void) { kill(victim, SIGKILL); for (;;) pause(); }

/* The number of this call; dies here where it is to die before it. */
static long step(void) {
    long n = atomic_fetch_add((atomic_long *)count, 1) + 1;
    if (mode == KILL_BEFORE && n == at) die();
    return n;
}
static void after(long n) { if ((mode == KILL_AFTER || mode == KILL_TORN) && n == at) die(); }
static int refused(long n) {
    if (mode == FULL && n >= at) return errno = ENOSPC, 1;
    if (mode == READ_ONLY && n >= at) return errno = EROFS, 1;
    return 0;
}

/* What has reached the disk: a copy of the whole file, under its inode's number. */
static void keep(int fd) {
    char name[PATH_MAX], buffer[65536];
    struct stat about;
    if (!shadow || fstat(fd, &about) || !S_ISREG(about.st_mode)) return;
    snprintf(name, sizeof name, "%s/%lu", shadow, (unsigned long)about.st_ino);
    REAL(int, "open", const char *, int, ...);
    static ssize_t (*put)(int, const void *, size_t) = NULL;
    if (!put) put = real("write");
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int from = f(link, O_RDONLY), to = f(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t n;
    while (from >= 0 && (n = read(from, buffer, sizeof buffer)) > 0) (void)!put(to, buffer, n);
    if (from >= 0) close(from);
    if (to >= 0) close(to);
}

#define OPEN(name) \
int name(const char *path, int flags, ...) { \
    REAL(int, #name, const char *, int, ...); \
    va_list list; va_start(list, flags); int perms = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, int) : 0; va_end(list); \
    int counted = (flags & (O_CREAT | O_TRUNC)) && path_below(path); \
    long n = counted ? step() : 0; \
    if (counted && refused(n)) return -1; \
    int fd = f(path, flags, perms); \
    if (counted) after(n); \
    return fd; \
}
OPEN(open)
OPEN(open64)

#define WRITE(name, ARGS, CALL, HALF) \
ssize_t name ARGS { \
    static ssize_t (*f)() = NULL; \
    if (!f) f = real(#name); \
    if (!fd_below(fd)) return CALL; \
    long n = step(); \
    if ((mode == KILL_TORN || mode == FULL) && n == at && size > 1) { \
        ssize_t done = HALF; \
        if (mode == KILL_TORN) die(); \
        return done; \
    } \
    if (refused(n)) return -1; \
    ssize_t done = CALL; \
    after(n); \
    return done; \
}
WRITE(write, (int fd, const void *data, size_t size), f(fd, data, size), f(fd, data, size / 2))
WRITE(pwrite, (int fd, const void *data, size_t size, off_t place), f(fd, data, size, place), f(fd, data, size / 2, place))
WRITE(pwrite64, (int fd, const void *data, size_t size, off_t place), f(fd, data, size, place), f(fd, data, size / 2, place))

ssize_t writev(int fd, const struct iovec *parts, int many) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    if (!fd_below(fd)) return f(fd, parts, many);
    long n = step();
    if (refused(n)) return -1;
    ssize_t done = f(fd, parts, many);
    after(n);
    return done;
}

#define SIMPLE(name, ARGS, FITS, CALL, DONE) \
int name ARGS { \
    static int (*f)() = NULL; \
    if (!f) f = real(#name); \
    if (!(FITS)) return CALL; \
    long n = step(); \
    int result = CALL; \
    DONE; \
    after(n); \
    return result; \
}
SIMPLE(ftruncate, (int fd, off_t size), fd_below(fd), f(fd, size), )
SIMPLE(ftruncate64, (int fd, off_t size), fd_below(fd), f(fd, size), )
SIMPLE(fsync, (int fd), fd_below(fd), f(fd), keep(fd))
SIMPLE(fdatasync, (int fd), fd_below(fd), f(fd), keep(fd))
SIMPLE(rename, (const char *from, const char *to), path_below(to), f(from, to), )

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    if (!path_below(path)) return f(path);
    long n = step();
    struct stat about;
    char name[PATH_MAX];
    if (shadow && !lstat(path, &about)) {
        snprintf(name, sizeof name, "%s/%lu", shadow, (unsigned long)about.st_ino);
        f(name);
    }
    int result = f(path);
    after(n);
    return result;
}

/* A clock that is set back and forth by a day, every fifty looks at it. */
int clock_gettime(clockid_t which, struct timespec *now) {
    static long looks = 0;
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    int result = f(which, now);
    if (mode == CLOCK && which == CLOCK_REALTIME) now->tv_sec += ((looks++ / 50) % 3 - 1) * 86400;
    return result;
}
