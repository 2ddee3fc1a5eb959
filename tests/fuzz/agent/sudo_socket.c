/* The socket that every process of the guest reaches: any bytes, with or without descriptors, in any pieces. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "box.h"
#include "loop.h"
#include "probes.h"
#include "sudo.h"

static int null;

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count, (void)arguments;
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    box_open();
    loop_open();
    return 0;
}

static void send_piece(int fd, const uint8_t *data, size_t length, int descriptors) {
    struct iovec piece = {(void *)(uintptr_t)data, length};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(7 * sizeof(int))];
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (descriptors) {
        memset(control, 0, sizeof control);
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE((size_t)descriptors * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN((size_t)descriptors * sizeof(int));
        for (int i = 0; i < descriptors; i++) memcpy(CMSG_DATA(header) + (size_t)i * sizeof(int), &null, sizeof null);
    }
    if (sendmsg(fd, &message, MSG_NOSIGNAL) < 0) return;
}

static void drain(int fd) {
    static uint8_t answers[4096];
    while (read(fd, answers, sizeof answers) > 0) continue;
}

/* Pieces: a byte whose low three bits say how many descriptors come with it, a u16 of length, the bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0) return 0;
    box_enter(data, size);
    probe_sudo_accept(ends[0]);
    for (size_t at = 0; at + 3 < size;) {
        int descriptors = data[at] & 7;
        size_t length = data[at + 1] | (size_t)data[at + 2] << 8;
        at += 3;
        if (length > size - at) length = size - at;
        if (length) send_piece(ends[1], data + at, length, descriptors);
        at += length;
        probe_round();
        drain(ends[1]);
    }
    for (pid_t pid = 4000000; pid < 4000064 && probe_sudo_sessions(); pid++) continue;
    close(ends[1]);
    for (int round = 0; round < 8 && probe_sudo_sessions(); round++) probe_round();
    if (probe_sudo_sessions()) __builtin_trap();
    box_leave();
    return 0;
}
