// tries: Take the processors from everybody with real-time priority, a negative nice value, a deadline, an I/O class.
// user: root
// gvisor: contained or denied: gVisor notes it down, and does nothing
// container: denied
#include "verdict.h"
#include <sched.h>
#include <sys/resource.h>

int main(void) {
    struct sched_param highest = {99};
    int done = worked("SCHED_FIFO", sched_setscheduler(0, SCHED_FIFO, &highest) ? -1 : 0);
    done += worked("raw SCHED_FIFO", syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &highest));
    done += worked("nice -20", setpriority(PRIO_PROCESS, 0, -20));
    unsigned long deadline[6] = {48 | 6UL << 32, 0, 0, 900000000, 1000000000, 1000000000};
    done += worked("SCHED_DEADLINE", syscall(SYS_sched_setattr, 0, deadline, 0));
    done += worked("real-time I/O", syscall(SYS_ioprio_set, 1, 0, 1 << 13));
    if (done) contained("%d of five are taken by the sandbox's own kernel", done);
    denied("none of five: %s", strerror(errno));
}
