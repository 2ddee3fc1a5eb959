// tries: Signal and trace processes outside its process namespace by numbers, groups and file owners (F_SETOWN).
// user: root
// gvisor: contained
// container: contained
#include "verdict.h"
#include <signal.h>

int main(void) {
    int ends[2], host = atoi(getenv("HOST_PID"));
    if (pipe(ends)) return 1;
    signal(SIGIO, SIG_IGN);
    for (int pid = 2; pid < 70000; pid += 61) {
        if (pid == getpid() || kill(pid, 0) == 0) continue;
        fcntl(ends[0], F_SETOWN, pid);
        fcntl(ends[0], F_SETFL, O_ASYNC);
        if (write(ends[1], "x", 1) < 0) break;
        char byte;
        if (read(ends[0], &byte, 1) < 0) break;
    }
    kill(host, SIGKILL);
    kill(-host, SIGKILL);
    syscall(SYS_tgkill, host, host, SIGKILL);
    syscall(SYS_rt_sigqueueinfo, host, SIGKILL, NULL);
    contained("the host's process %d is not to be met: %s", host, strerror(errno));
}
