// tries: Read the host's memory through kcore, /dev/mem, /dev/kmem and vmcore.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"

int main(void) {
    const char *files[] = {"/proc/kcore", "/dev/mem", "/dev/kmem", "/proc/vmcore", "/proc/kmsg", "/dev/crash"};
    char page[4096];
    for (int i = 0; i < 6; i++) {
        int file = open(files[i], O_RDONLY | O_NONBLOCK);
        worked(files[i], file);
        if (file >= 0 && read(file, page, sizeof page) > 0) escaped("%s can be read", files[i]);
    }
    denied("no file shows memory");
}
