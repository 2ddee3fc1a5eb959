/* A host's whole side of a connection, against the whole agent: loop, channels, credit, requests, jobs in threads,
 * files in an empty box. Only programs are not started. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "box.h"
#include "frame.h"
#include "job.h"
#include "loop.h"
#include "probes.h"

static const char secret[] = "s";

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count, (void)arguments;
    box_open();
    loop_open();
    box_enter(NULL, 0);
    jobs_open();
    box_leave();
    return 0;
}

static void drain(int fd) {
    static uint8_t answers[1 << 16];
    while (read(fd, answers, sizeof answers) > 0) continue;
}

static void say_hello(int fd) {
    uint8_t hello[FRAME_HEADER + 16];
    struct writer writer = {.data = hello + FRAME_HEADER, .capacity = 16};
    put_u16(&writer, PROTOCOL_VERSION);
    put_u16(&writer, PROTOCOL_VERSION);
    put_text(&writer, secret);
    header_put(hello, FRAME_HELLO, 0, 0, (uint32_t)writer.length);
    if (write(fd, hello, FRAME_HEADER + writer.length) < 0) __builtin_trap();
}

static void settle(int fd) {
    for (int round = 0; round < 200 && probe_jobs(); round++) {
        probe_round();
        drain(fd);
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
    probe_round();
    drain(fd);
}

/* The input: a byte of flags (1: no HELLO is said first), then pieces, each a u16 of length and its bytes; the agent
 * gets a turn between pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int ends[2];
    if (size < 1 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) return 0;
    box_enter(data, size);
    probe_secret(secret); /* the input before may have renewed it */
    probe_accept(ends[0]);
    if (!(data[0] & 1)) say_hello(ends[1]);
    for (size_t at = 1; at + 2 <= size;) {
        size_t length = data[at] | (size_t)data[at + 1] << 8;
        at += 2;
        if (length > size - at) length = size - at;
        if (length && write(ends[1], data + at, length) < 0) break;
        at += length;
        probe_round();
        drain(ends[1]);
    }
    settle(ends[1]);
    close(ends[1]);
    for (int round = 0; round < 100000 && (probe_connections() || probe_jobs()); round++) {
        probe_round();
        if (round > 3) nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
    if (probe_connections() || probe_jobs()) __builtin_trap(); /* something holds on for ever */
    probe_end_processes();
    probe_round();
    box_clear();
    box_leave();
    return 0;
}
