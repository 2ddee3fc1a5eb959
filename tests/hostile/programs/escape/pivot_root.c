// tries: Make another mount the root with pivot_root, to uncover what lies below.
// user: root
// gvisor: contained or denied
// container: denied
#include "verdict.h"
#include <sys/mount.h>
#include <sys/stat.h>

int main(void) {
    mkdir("/new", 0755);
    must("mount", mount("none", "/new", "tmpfs", 0, ""));
    mkdir("/new/old", 0755);
    must("chdir", chdir("/new"));
    must("pivot_root", syscall(SYS_pivot_root, ".", "old"));
    if (host_under("/old") || host_under("/old/..")) escaped("the host's root was below");
    contained("the old root is the sandbox's own");
}
