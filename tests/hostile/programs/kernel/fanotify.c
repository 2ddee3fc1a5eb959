// tries: Watch, and hold up, every file access of the mount or the whole file system with fanotify.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"

int main(void) {
    int done = worked("FAN_CLASS_CONTENT", syscall(SYS_fanotify_init, 4, O_RDONLY));
    done += worked("FAN_REPORT_FID", syscall(SYS_fanotify_init, 0x200, O_RDONLY));
    if (done) escaped("fanotify works");
    denied("fanotify_init: %s", strerror(errno));
}
