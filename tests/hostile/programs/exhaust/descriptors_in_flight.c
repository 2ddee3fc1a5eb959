// tries: Hide descriptors in messages that nobody receives.
// gvisor: limited or contained or ended
// container: limited or contained
#include "verdict.h"
#include <sys/socket.h>

int main(void) {
    long hidden = 0;
    for (int pair = 0; pair < 400; pair++) {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, ends)) limited("%ld: %s", hidden, strerror(errno));
        for (;;) {
            union {
                char room[CMSG_SPACE(sizeof(int) * 100)];
                struct cmsghdr header;
            } control;
            struct iovec data = {"x", 1};
            struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.room,
                                     .msg_controllen = sizeof control.room};
            control.header.cmsg_level = SOL_SOCKET, control.header.cmsg_type = SCM_RIGHTS;
            control.header.cmsg_len = CMSG_LEN(sizeof(int) * 100);
            for (int i = 0; i < 100; i++) ((int *)CMSG_DATA(&control.header))[i] = ends[0];
            if (sendmsg(ends[0], &message, 0) < 0) break;
            hidden += 100;
            if (hidden > 100000) contained("%ld descriptors in flight", hidden);
        }
        if (errno != EAGAIN) limited("%ld descriptors in flight, then %s", hidden, strerror(errno));
    }
    contained("%ld descriptors in flight", hidden);
}
