// tries: Hold the kernel in the middle of a copy with userfaultfd, the lever of many exploits.
// gvisor: denied
// container: denied
#include "verdict.h"
#include <sys/ioctl.h>

int main(void) {
    int done = worked("userfaultfd", syscall(SYS_userfaultfd, 0));
    done += worked("userfaultfd for user pages", syscall(SYS_userfaultfd, 1));
    int device = open("/dev/userfaultfd", O_RDWR);
    if (device >= 0) done += worked("/dev/userfaultfd", ioctl(device, 0xAA00, 0));
    if (done) escaped("userfaultfd works");
    denied("userfaultfd: %s", strerror(errno));
}
