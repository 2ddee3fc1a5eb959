// tries: Make device files for every disk and memory device by number, and open them.
// user: root
// gvisor: denied
// container: denied
// timeout: 30
#include "verdict.h"
#include <sys/stat.h>
#include <sys/sysmacros.h>

int main(void) {
    int made = 0;
    char byte;
    for (int major = 0; major < 260; major++)
        for (int minor = 0; minor < 4; minor++)
            for (int kind = 0; kind < 2; kind++) {
                if (!kind && major == 1 && minor == 3) continue;
                unlink("/node");
                if (mknod("/node", 0600 | (kind ? S_IFBLK : S_IFCHR), makedev(major, minor))) continue;
                made++;
                int node = open("/node", O_RDWR | O_NONBLOCK);
                if (node >= 0 && kind && read(node, &byte, 1) > 0) escaped("disk %d:%d can be read", major, minor);
                if (node >= 0 && major != 1 && major != 5 && major != 136)
                    escaped("device %d:%d can be opened", major, minor);
                if (node >= 0) close(node);
            }
    denied("%d device files made, none leads to a device: %s", made, strerror(errno));
}
