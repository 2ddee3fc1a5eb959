// tries: Start timers without end, each firing every microsecond.
// gvisor: limited or ended or stopped or contained
// container: limited or contained
// timeout: 5
#include "verdict.h"
#include <signal.h>
#include <sys/timerfd.h>
#include <time.h>

int main(void) {
    signal(SIGALRM, SIG_IGN);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    struct itimerspec fast = {{0, 1000}, {0, 1000}};
    int timers = 0, files = 0;
    for (timer_t timer; timers < 5000 && timer_create(CLOCK_MONOTONIC, &event, &timer) == 0; timers++)
        timer_settime(timer, 0, &fast, NULL);
    for (int file; files < 5000 && (file = timerfd_create(CLOCK_MONOTONIC, 0)) >= 0; files++)
        timerfd_settime(file, 0, &fast, NULL);
    limited("%d timers, %d timer files, then %s", timers, files, strerror(errno));
}
