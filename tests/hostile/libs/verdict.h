// How a hostile program in C says what came of it.
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline _Noreturn void verdict(const char *word, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fflush(stdout);
    dprintf(1, "\nVERDICT %s %s\n", word, text);
    _exit(0);
}

#define denied(...) verdict("denied", __VA_ARGS__)
#define contained(...) verdict("contained", __VA_ARGS__)
#define limited(...) verdict("limited", __VA_ARGS__)
#define seen(...) verdict("seen", __VA_ARGS__)
#define escaped(...) verdict("escaped", __VA_ARGS__)

// Ends with "denied" and the error where the result of a call says that it failed.
static inline long must(const char *what, long result) {
    if (result == -1) denied("%s: %s", what, strerror(errno));
    return result;
}

// For one of several attempts: says what came of it, and returns whether it worked.
static inline int worked(const char *what, long result) {
    if (result == -1) {
        printf("%s: %s\n", what, strerror(errno));
        return 0;
    }
    printf("%s: works\n", what);
    return 1;
}

// Whether the host's files are below a folder: its canary would be.
static inline int host_under(const char *root) {
    char path[512];
    snprintf(path, sizeof path, "%s%s/secret", root, getenv("CANARY"));
    return access(path, F_OK) == 0;
}

// Writes a word to a file that exists; returns whether the kernel took it.
static inline int wrote(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CLOEXEC);
    int taken = file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text);
    worked(path, taken ? 0 : -1);
    if (file >= 0) close(file);
    return taken;
}
