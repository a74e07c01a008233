/* Makes one call on files of a folder fail: FAULT is "CALL ERRNO AFTER FOLDER", and it fails from the call number AFTER on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(const char *call, const char *path) {
    static char known[5000];
    static int calls;
    char name[20], folder[4096];
    int code, after;
    const char *fault = getenv("FAULT");
    if (!fault || strlen(fault) >= sizeof known) return 0;
    if (strcmp(known, fault)) { strcpy(known, fault); calls = 0; }
    if (sscanf(fault, "%19s %d %d %4095s", name, &code, &after, folder) != 4) return 0;
    if (strcmp(name, call) || strncmp(path, folder, strlen(folder)) || calls++ < after) return 0;
    errno = code;
    return 1;
}

static const char *path_of(int file, char *path, size_t size) {
    char link[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, size - 1);
    path[length < 0 ? 0 : length] = 0;
    return path;
}

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

int rename(const char *from, const char *to) { return fails("rename", to) ? -1 : REAL(rename)(from, to); }
int symlink(const char *to, const char *at) { return fails("symlink", at) ? -1 : REAL(symlink)(to, at); }
int unlink(const char *path) { return fails("unlink", path) ? -1 : REAL(unlink)(path); }
int mkdir(const char *path, unsigned mode) {
    return fails("mkdir", path) ? -1 : ((int (*)(const char *, unsigned)) dlsym(RTLD_NEXT, "mkdir"))(path, mode);
}
int fsync(int file) {
    char path[4096];
    return fails("fsync", path_of(file, path, sizeof path)) ? -1 : REAL(fsync)(file);
}
int flock(int file, int kind) {
    char path[4096];
    return fails("flock", path_of(file, path, sizeof path)) ? -1 : ((int (*)(int, int)) dlsym(RTLD_NEXT, "flock"))(file, kind);
}
ssize_t write(int file, const void *from, size_t size) {
    char path[4096];
    return fails("write", path_of(file, path, sizeof path)) ? -1 : REAL(write)(file, from, size);
}
