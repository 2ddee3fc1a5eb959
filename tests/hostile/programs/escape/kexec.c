// tries: Load another kernel to be booted, by both calls.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"

int main(void) {
    int file = open("/proc/self/exe", O_RDONLY);
    int done = worked("kexec_load", syscall(SYS_kexec_load, 0L, 0L, NULL, 0L));
    done += worked("kexec_file_load", syscall(SYS_kexec_file_load, file, -1, 1L, "", 8L));
    if (done) escaped("a kexec call worked");
    denied("kexec: %s", strerror(errno));
}
