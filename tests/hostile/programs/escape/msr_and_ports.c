// tries: Touch the machine below the kernel: MSRs, I/O ports by iopl, ioperm and /dev/port, then an OUT instruction.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"
#include <signal.h>

static void refused(int signal) { denied("I/O instructions end in signal %d", signal); }

int main(void) {
    const char *files[] = {"/dev/port", "/dev/cpu/0/msr", "/dev/cpu/0/cpuid", "/dev/nvram", "/dev/hpet"};
    for (int i = 0; i < 5; i++)
        if (worked(files[i], open(files[i], O_RDWR))) escaped("%s can be opened", files[i]);
#ifdef __x86_64__
    int got = worked("iopl", syscall(SYS_iopl, 3)) + worked("ioperm", syscall(SYS_ioperm, 0x80, 1, 1));
    if (got) escaped("ports are open");
    signal(SIGSEGV, refused);
    signal(SIGILL, refused);
    signal(SIGBUS, refused);
    __asm__ volatile("outb %%al, $0x80" ::"a"(0));
    escaped("an OUT instruction was carried out");
#endif
    denied("no ports on this machine");
}
