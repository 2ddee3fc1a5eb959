// tries: Take back the promise that nothing gains privileges, and lift its own hard limits.
// gvisor: denied
// container: denied
#include "verdict.h"
#include <sys/prctl.h>
#include <sys/resource.h>

int main(void) {
    prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0);
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0) printf("privileges could be gained\n");
    int done = 0;
    for (int limit = 0; limit < 16; limit++) {
        struct rlimit now, more;
        if (getrlimit(limit, &now) || now.rlim_max == RLIM_INFINITY) continue;
        more.rlim_cur = more.rlim_max = now.rlim_max + 1;
        if (setrlimit(limit, &more) == 0) done++, printf("limit %d was lifted\n", limit);
    }
    done += worked("setuid", setuid(0)) + worked("setgid", setgid(0)) + worked("setresuid", setresuid(0, 0, 0));
    if (done) escaped("%d rights were gained", done);
    denied("none was gained: %s", strerror(errno));
}
