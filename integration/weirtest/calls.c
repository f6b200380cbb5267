// Loaded before the C library (LD_PRELOAD): notes calls that send, and those that wake a thread up and are woken up by an
// eventfd, as lines `thread call descriptor bytes` in the file that CALLS_FILE names.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int file = -1;

__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("CALLS_FILE");
    if (path) file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

static ssize_t note(const char *call, int descriptor, ssize_t bytes) {
    char line[96];
    int count = snprintf(line, sizeof line, "%ld %s %d %zd\n", syscall(SYS_gettid), call, descriptor, bytes);
    if (file >= 0) syscall(SYS_write, file, line, count);
    return bytes;
}

ssize_t send(int descriptor, const void *data, size_t count, int flags) {
    static ssize_t (*real)(int, const void *, size_t, int);
    if (!real) real = (ssize_t(*)(int, const void *, size_t, int))dlsym(RTLD_NEXT, "send");
    return note("send", descriptor, real(descriptor, data, count, flags));
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
    static ssize_t (*real)(int, const struct msghdr *, int);
    if (!real) real = (ssize_t(*)(int, const struct msghdr *, int))dlsym(RTLD_NEXT, "sendmsg");
    return note("send", descriptor, real(descriptor, message, flags));
}

ssize_t write(int descriptor, const void *data, size_t count) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    ssize_t result = real(descriptor, data, count);
    return count == 8 ? note("wake", descriptor, result) : result;
}

ssize_t read(int descriptor, void *data, size_t count) {
    static ssize_t (*real)(int, void *, size_t);
    if (!real) real = (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    ssize_t result = real(descriptor, data, count);
    return count == 8 ? note("woken", descriptor, result) : result;
}
