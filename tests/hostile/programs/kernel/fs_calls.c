// tries: Use the newer mount calls (fsopen, open_tree, move_mount, mount_setattr), which older filters forgot.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"

int main(void) {
    int done = worked("open_tree", syscall(428, -100, "/", 1));
    done += worked("fsopen", syscall(430, "ext4", 0));
    done += worked("fsopen proc", syscall(430, "proc", 0));
    done += worked("fspick", syscall(433, -100, "/", 0));
    char attributes[32] = {0};
    done += worked("mount_setattr", syscall(442, -100, "/", 0x8000, attributes, sizeof attributes));
    done += worked("move_mount", syscall(429, -100, "/dev/shm", -100, "/mnt", 0));
    if (done) escaped("%d of the newer mount calls work", done);
    denied("newer mount calls: %s", strerror(errno));
}
