// tries: In a user namespace, mount an overlay over a file that sets the user id, and have it copied up (as
//   CVE-2023-0386 allowed).
// gvisor: denied or contained
// container: denied
#include "verdict.h"
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

int main(void) {
    must("unshare", unshare(CLONE_NEWUSER | CLONE_NEWNS));
    mkdir("/tmp/l", 0755);
    mkdir("/tmp/u", 0755);
    mkdir("/tmp/w", 0755);
    mkdir("/tmp/m", 0755);
    int file = open("/tmp/l/tool", O_WRONLY | O_CREAT, 0755);
    close(file);
    must("mount overlay",
         mount("overlay", "/tmp/m", "overlay", 0, "lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w,userxattr"));
    must("chmod", chmod("/tmp/m/tool", 04755));
    struct stat found;
    must("stat", stat("/tmp/u/tool", &found));
    contained("an overlay of its own: the file belongs to user %u, mode %o", found.st_uid, found.st_mode);
}
