// tries: Take over the agent, process 1, with ptrace, as root.
// user: root
// gvisor: contained or denied: root of a gVisor sandbox may trace what runs in it
// container: denied
#include "verdict.h"
#include <signal.h>
#include <sys/ptrace.h>

int main(void) {
    int done = worked("attach", ptrace(PTRACE_ATTACH, 1, 0, 0));
    if (!done) done = worked("seize", ptrace(PTRACE_SEIZE, 1, 0, 0));
    if (!done) denied("ptrace of process 1: %s", strerror(errno));
    ptrace(PTRACE_DETACH, 1, 0, 0);
    kill(1, SIGCONT);
    contained("the agent belongs to the sandbox: it harms itself alone");
}
