// tries: Take the kernel's memory with full pipes of the largest size.
// gvisor: limited or ended
// container: limited or ended
#include "verdict.h"

int main(void) {
    static char block[1 << 16];
    long kept = 0;
    int ends[2], pipes = 0;
    while (pipe2(ends, O_NONBLOCK) == 0) {
        pipes++;
        fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
        for (long wrote; (wrote = write(ends[1], block, sizeof block)) > 0;) kept += wrote;
    }
    limited("%ld MiB in %d pipes, then %s", kept >> 20, pipes, strerror(errno));
}
