// tries: Set up an io_uring, whose requests the kernel carries out past system call filters.
// gvisor: denied
// container: denied
#include "verdict.h"

int main(void) {
    unsigned char parameters[120] = {0};
    for (unsigned flags = 0; flags < 64; flags = flags ? flags * 2 : 1) {
        memcpy(parameters + 8, &flags, sizeof flags);
        if (worked("io_uring_setup", syscall(425, 8, parameters))) escaped("a ring was made");
    }
    denied("io_uring_setup: %s", strerror(errno));
}
