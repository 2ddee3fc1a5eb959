// tries: Kill process 1 by every call that kills: kill, tgkill, pidfd, SIGSEGV, a debugger.
// user: root
// gvisor: ended or contained: gVisor lets root kill its process 1; that ends this sandbox
// container: contained
#include "verdict.h"
#include <signal.h>
#include <sys/ptrace.h>

int main(void) {
    kill(1, SIGKILL);
    syscall(SYS_tgkill, 1, 1, SIGKILL);
    int held = syscall(434, 1, 0);
    if (held >= 0) syscall(424, held, SIGKILL, NULL, 0);
    kill(1, SIGSEGV);
    if (ptrace(PTRACE_SEIZE, 1, 0, 0x100000) == 0) kill(1, SIGKILL);
    usleep(300000);
    if (kill(1, 0) == 0) contained("process 1 is there still");
    return 0;
}
