// tries: Set the host's clock, by five calls.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>

int main(void) {
    struct timeval past = {1000000000, 0};
    struct timespec wanted = {1000000000, 0};
    struct timex change = {.modes = ADJ_FREQUENCY, .freq = 1};
    int done = worked("settimeofday", syscall(SYS_settimeofday, &past, NULL));
    done += worked("clock_settime", syscall(SYS_clock_settime, CLOCK_REALTIME, &wanted));
    done += worked("adjtimex", syscall(SYS_adjtimex, &change));
    done += worked("clock_adjtime", syscall(SYS_clock_adjtime, CLOCK_REALTIME, &change));
    int device = open("/dev/rtc0", O_RDWR);
    done += worked("/dev/rtc0", device);
    if (done) escaped("the clock was set");
    denied("clocks: %s", strerror(errno));
}
