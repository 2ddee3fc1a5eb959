// tries: As root, lift every hard limit of its processes and of the agent's.
// user: root
// gvisor: contained or denied: gVisor's own limits; the group on the host stays
// container: denied
#include "verdict.h"
#include <sys/resource.h>

int main(void) {
    int done = 0;
    for (int limit = 0; limit < 16; limit++) {
        struct rlimit now, more;
        if (getrlimit(limit, &now) || now.rlim_max == RLIM_INFINITY) continue;
        more.rlim_cur = more.rlim_max = RLIM_INFINITY;
        done += setrlimit(limit, &more) == 0;
        done += prlimit(1, limit, &more, NULL) == 0;
    }
    if (done) contained("%d limits lifted within", done);
    denied("none can be lifted: %s", strerror(errno));
}
