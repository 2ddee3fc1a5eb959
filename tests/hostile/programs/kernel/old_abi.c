// tries: Go past the system call filter by the 32-bit entry and the x32 numbers.
// user: root
// gvisor: denied or contained or ended
// container: denied or ended: 32-bit calls are another architecture, which the filter kills
#include "verdict.h"
#include <signal.h>

static void refused(int signal) { denied("int 0x80 ends in signal %d", signal); }

int main(void) {
#ifdef __x86_64__
    long x32 = syscall(0x40000000 + 272, 0x10000000);  // unshare(CLONE_NEWUSER)
    if (x32 == 0) escaped("x32 unshare works");
    signal(SIGSEGV, refused);
    signal(SIGSYS, refused);
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(310L), "b"(0x10000000L) : "memory");  // unshare
    if (result == 0) escaped("32-bit unshare works");
    denied("x32: refused; 32-bit: %s", strerror((int)-result));
#else
    denied("this processor has no such entry");
#endif
}
