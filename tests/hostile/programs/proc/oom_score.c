// tries: Make itself the last to be killed when the host is out of memory, and another the first.
// user: root
// gvisor: contained or denied: gVisor's own figure, of which the host knows nothing
// container: denied
#include "verdict.h"

int main(void) {
    int done = wrote("/proc/self/oom_score_adj", "-1000");
    done += wrote("/proc/1/oom_score_adj", "-1000");
    if (done) contained("written in the sandbox's own kernel");
    denied("oom_score_adj cannot be lowered");
}
