// tries: Read the processor's performance counters and its exact time, for timing others.
// gvisor: contained or denied or seen
// container: denied or seen: the time-stamp counter is readable, as on any Linux
#include "verdict.h"
#include <signal.h>
#include <sys/prctl.h>

static void refused(int signal) { seen("the time-stamp counter; performance counters end in signal %d", signal); }

int main(void) {
#ifdef __x86_64__
    unsigned low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    printf("time stamp %x%08x\n", high, low);
    signal(SIGSEGV, refused);
    signal(SIGILL, refused);
    for (unsigned counter = 0; counter < 4; counter++)
        __asm__ volatile("rdpmc" : "=a"(low), "=d"(high) : "c"(counter));
    escaped("performance counters can be read: %x%08x", high, low);
#else
    seen("the time-stamp counter");
#endif
}
