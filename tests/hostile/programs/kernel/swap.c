// tries: Have the host swap to a file of ours, from which its memory could be read.
// user: root
// disk: 128
// gvisor: denied
// container: denied
#include "verdict.h"
#include <sys/swap.h>

int main(void) {
    int file = open("/swap", O_RDWR | O_CREAT, 0600);
    static char page[4096];
    memcpy(page + 4086, "SWAPSPACE2", 10);
    unsigned header[] = {1, 255, 0};
    memcpy(page + 1024, header, sizeof header);
    for (int i = 0; i < 256; i++)
        if (write(file, i ? page + 0 : page, 4096) != 4096) return 1;
    int done = worked("swapon", swapon("/swap", 0));
    done += worked("swapoff", swapoff("/dev/vdb"));
    if (done) escaped("swap works");
    denied("swapon: %s", strerror(errno));
}
