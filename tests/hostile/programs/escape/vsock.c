// tries: Talk past the network to the machine that runs the host, or to other machines on it, over vsock.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"
#include <sys/socket.h>

struct address {
    unsigned short family, zero;
    unsigned port, cid;
    unsigned char flags[4];
};

int main(void) {
    int talk = must("socket(AF_VSOCK)", socket(40, SOCK_STREAM | SOCK_NONBLOCK, 0));
    for (unsigned cid = 0; cid < 4; cid++) {
        struct address to = {40, 0, 1024, cid, {0}};
        worked("connect", connect(talk, (void *)&to, sizeof to));
        if (errno == EINPROGRESS || errno == ECONNRESET) escaped("vsock %u is there", cid);
    }
    denied("no vsock can be reached: %s", strerror(errno));
}
