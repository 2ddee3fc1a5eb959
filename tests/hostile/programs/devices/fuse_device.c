// tries: Serve a file system from user space over a directory of root's programs.
// user: root
// gvisor: contained or denied: gVisor's own FUSE
// container: denied
#include "verdict.h"
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

int main(void) {
    mknod("/dev/fuse", S_IFCHR | 0666, makedev(10, 229));
    int fuse = must("/dev/fuse", open("/dev/fuse", O_RDWR));
    char options[100];
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
    must("mount", mount("fuse", "/mnt", "fuse", 0, options));
    contained("a FUSE mount inside");
}
