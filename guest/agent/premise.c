#include "premise.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launch.h"
#include "sha256.h"

enum { FILE_MAX = 8 * 1024 };

static bool has_digest(const char *path, const char *expected) {
    uint8_t content[FILE_MAX + 1], digest[SHA256_SIZE];
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t length = read(fd, content, sizeof content);
    close(fd);
    if (length < 0 || length > FILE_MAX) return false;
    sha256(content, (size_t)length, digest);
    char text[2 * SHA256_SIZE + 1];
    for (int i = 0; i < SHA256_SIZE; i++) snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return strcmp(text, expected) == 0;
}

static bool is_absent(const char *path) {
    struct stat status;
    return lstat(path, &status) < 0 && errno == ENOENT;
}

static bool ends_with(const char *name, const char *ending) {
    size_t length = strlen(name), size = strlen(ending);
    return length >= size && strcmp(name + length - size, ending) == 0;
}

/* opendir would allocate. */
static bool has_no_entry(const char *folder, const char *ending) {
    _Alignas(uint64_t) char entries[4096];
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT;
    long length;
    bool found = false;
    while (!found && (length = syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0) {
        for (long at = 0; at < length && !found;) {
            struct dirent *entry = (struct dirent *)(entries + at);
            found = ends_with(entry->d_name, ending);
            at += entry->d_reclen;
        }
    }
    close(fd);
    return !found && length == 0;
}

static bool holds(const char *what, const char *expected, char **environment) {
    if (*what == '$') {
        const char *value = environment_get(environment, what + 1);
        return value && strcmp(value, expected) == 0;
    }
    const char *star = strrchr(what, '*');
    if (!star) return *expected ? has_digest(what, expected) : is_absent(what);
    char folder[PATH_MAX];
    return (size_t)snprintf(folder, sizeof folder, "%.*s", (int)(star - what), what) < sizeof folder &&
           has_no_entry(folder, star + 1);
}

bool premises_hold(char **premises, char **environment) {
    for (; premises[0] && premises[1]; premises += 2)
        if (!holds(premises[0], premises[1], environment)) return false;
    return true;
}
