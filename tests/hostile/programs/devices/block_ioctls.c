// tries: Reach the disk below its own file system: FIBMAP, FS_IOC_SHUTDOWN, FITRIM, freeze, resize, immutable flags.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"
#include <linux/fs.h>
#include <sys/ioctl.h>

int main(void) {
    int root = must("open /", open("/", O_RDONLY));
    int block = 0, done = 0;
    unsigned long number = 1, range[3] = {0, ~0UL, 0};
    done += worked("FIBMAP", ioctl(root, FIBMAP, &block));
    done += worked("FIFREEZE", ioctl(root, FIFREEZE, 0));
    done += worked("FITRIM", ioctl(root, FITRIM, range));
    done += worked("shutdown", ioctl(root, 0x8004587d, &number));
    done += worked("resize", ioctl(root, 0x40086610, &number));
    done += worked("swap boot", ioctl(root, 0x6611, 0));
    if (done) escaped("%d calls reach below the file system", done);
    denied("none of six: %s", strerror(errno));
}
