// tries: Leave the root by the classic double chroot: an open folder outside, then chroot below it, then "..".
// user: root
// gvisor: denied or contained: gVisor does not let it out of the inner chroot
// container: contained: it leaves the inner chroot, and ends in the sandbox's own root
#include "verdict.h"
#include <sys/stat.h>

int main(void) {
    mkdir("/jail", 0755);
    mkdir("/jail/deeper", 0755);
    must("chdir", chdir("/jail"));
    must("chroot below", chroot("deeper"));
    for (int i = 0; i < 256; i++)
        if (chdir("..")) break;
    must("chroot up", chroot("."));
    if (host_under("")) escaped("this is the host's root");
    if (access("/.sandlot/agent", F_OK)) denied("still in the inner chroot");
    contained("back in the sandbox's root, and no further");
}
