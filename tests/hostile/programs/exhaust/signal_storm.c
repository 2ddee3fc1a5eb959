// tries: Send signals between processes as fast as it can, real-time ones that queue up.
// timeout: 4
// gvisor: stopped or limited
// container: stopped or limited
#include "verdict.h"
#include <signal.h>

int main(void) {
    sigset_t held;
    sigfillset(&held);
    sigprocmask(SIG_SETMASK, &held, NULL);
    pid_t child = fork();
    if (child == 0)
        for (;;) kill(getppid(), SIGRTMIN + 1);
    for (long sent = 0;; sent++) sigqueue(child, SIGRTMIN + 2, (union sigval){1});
}
