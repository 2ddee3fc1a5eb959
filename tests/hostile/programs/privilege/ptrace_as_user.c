// tries: Trace processes of other users: all there are, by attach, seize and pidfd_getfd.
// gvisor: denied
// container: denied
#include "verdict.h"
#include <sys/ptrace.h>
#include <sys/stat.h>

int main(void) {
    for (int pid = 1; pid < 3000; pid++) {
        char path[40];
        struct stat found;
        snprintf(path, sizeof path, "/proc/%d", pid);
        if (stat(path, &found) || found.st_uid == getuid()) continue;
        if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) escaped("process %d can be traced", pid);
        int held = syscall(434, pid, 0);
        for (int number = 0; held >= 0 && number < 20; number++)
            if (syscall(438, held, number, 0) >= 0) escaped("descriptor %d of process %d was taken", number, pid);
    }
    denied("no other user's process can be traced: %s", strerror(errno));
}
