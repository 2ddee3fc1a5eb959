// tries: Join the namespaces of every process, by their files and by pidfd.
// user: root
// gvisor: contained or denied
// container: denied
#include "verdict.h"
#include <sched.h>

int main(void) {
    const char *kinds[] = {"mnt", "net", "pid", "user", "uts", "ipc", "cgroup", "time"};
    int done = 0, host = atoi(getenv("HOST_PID"));
    int pids[] = {1, 2, 3, host, getppid()};
    for (int p = 0; p < 5; p++) {
        for (int k = 0; k < 8; k++) {
            char path[64];
            snprintf(path, sizeof path, "/proc/%d/ns/%s", pids[p], kinds[k]);
            int file = open(path, O_RDONLY);
            if (file >= 0 && setns(file, 0) == 0) done++;
        }
        int held = syscall(434, pids[p], 0);
        if (held >= 0 && setns(held, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWPID) == 0) done++;
        if (host_under("/")) escaped("this is the host");
    }
    if (done) contained("%d namespaces joined, all of this sandbox", done);
    denied("none can be joined: %s", strerror(errno));
}
