// tries: Use Landlock's rules to loosen what holds it, and to confuse the agent that shares the kernel.
// gvisor: denied
// container: contained or denied: it can only take rights from itself
#include "verdict.h"
#include <sys/prctl.h>

int main(void) {
    unsigned long handled = 0x1fff;
    int rules = must("landlock_create_ruleset", syscall(444, &handled, sizeof handled, 0));
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    must("landlock_restrict_self", syscall(446, rules, 0));
    if (open("/etc/passwd", O_RDONLY) >= 0) denied("the rules do nothing");
    if (host_under("/")) escaped("the host's files are here");
    contained("it has no files any more; others go on");
}
