// tries: Read and change the disk quotas of the host's file systems.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"

int main(void) {
    char room[256];
    const char *disks[] = {"/dev/vda", "/dev/root", "/dev/loop0", "/"};
    int done = 0;
    for (int i = 0; i < 4; i++) {
        done += worked("Q_GETQUOTA", syscall(SYS_quotactl, 0x80000700, disks[i], 0, room));
        done += worked("Q_SYNC", syscall(SYS_quotactl, 0x80000100, NULL, 0, NULL));
    }
    if (done) escaped("quotactl works");
    denied("quotactl: %s", strerror(errno));
}
