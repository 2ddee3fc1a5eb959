// tries: Count events of the whole machine and of the kernel with perf_event_open, also as root.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"

int main(void) {
    for (unsigned type = 0; type < 6; type++) {
        unsigned attributes[32] = {type, 128};
        if (worked("own process", syscall(SYS_perf_event_open, attributes, 0, -1, -1, 0)) ||
            worked("whole processor", syscall(SYS_perf_event_open, attributes, -1, 0, -1, 0)))
            escaped("a counter of type %u was opened", type);
    }
    denied("perf_event_open: %s", strerror(errno));
}
