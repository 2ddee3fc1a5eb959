// tries: Take memory that belongs to no file system: memfds, held by descriptors alone.
// gvisor: ended or limited
// container: ended or limited
#include "verdict.h"

int main(void) {
    static char block[1 << 20];
    memset(block, 1, sizeof block);
    long mib = 0;
    for (int file; (file = syscall(SYS_memfd_create, "x", 0)) >= 0;)
        for (int i = 0; i < 16; i++) {
            if (write(file, block, sizeof block) != sizeof block) limited("%ld MiB: %s", mib, strerror(errno));
            mib++;
        }
    limited("%ld MiB: %s", mib, strerror(errno));
}
