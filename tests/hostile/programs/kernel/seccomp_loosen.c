// tries: Replace the system call filter by one that allows all, then make the calls that were refused.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

int main(void) {
    struct sock_filter allow[] = {{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
    struct sock_fprog program = {1, allow};
    worked("disable", prctl(PR_SET_SECCOMP, 0, 0, 0, 0));
    worked("filter", prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0));
    worked("listener", syscall(SYS_seccomp, 1, 8, &program));
    unsigned attributes[32] = {1, 128};
    if (syscall(SYS_perf_event_open, attributes, 0, -1, -1, 0) >= 0) escaped("the filter was loosened");
    if (syscall(SYS_bpf, 0, attributes, 128) >= 0) escaped("the filter was loosened");
    denied("what was refused still is: %s", strerror(errno));
}
