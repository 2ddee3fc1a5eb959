// tries: Remount what is read-only as writable, and allow devices and setuid on its mounts.
// user: root
// gvisor: contained or denied: the agent's file stays read-only
// container: denied
#include "verdict.h"
#include <sys/mount.h>

int main(void) {
    const char *mounts[] = {"/", "/proc", "/proc/sys", "/sys", "/dev", "/dev/shm", "/.sandlot/agent"};
    int done = 0;
    for (int i = 0; i < 7; i++) {
        done += worked(mounts[i], mount(NULL, mounts[i], NULL, MS_REMOUNT, ""));
        done += worked(mounts[i], mount(NULL, mounts[i], NULL, MS_REMOUNT | MS_BIND, ""));
    }
    if (open("/.sandlot/agent", O_WRONLY) >= 0) escaped("the agent's file can be written");
    if (done) contained("%d remounts inside", done);
    denied("none can be changed: %s", strerror(errno));
}
