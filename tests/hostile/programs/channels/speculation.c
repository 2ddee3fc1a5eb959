// tries: Switch the processor's defences against speculation off for itself, then read past a bound to kernel addresses.
// gvisor: denied
// container: denied
#include "verdict.h"
#include <setjmp.h>
#include <signal.h>
#include <sys/prctl.h>

static sigjmp_buf back;

static void jump(int signal) { siglongjmp(back, signal); }

int main(void) {
    int force = prctl(53, 0, 2, 0, 0);  // speculative store bypass: enable
    printf("store bypass: %s\n", force ? strerror(errno) : "as asked");
    signal(SIGSEGV, jump);
    signal(SIGBUS, jump);
    unsigned long places[] = {0xffffffff81000000UL, 0xffff888000000000UL, 0xffffc90000000000UL, 0xffffffffff600000UL};
    int faults = 0;
    for (int i = 0; i < 3; i++) {
        if (sigsetjmp(back, 1)) {
            faults++;
            continue;
        }
        escaped("%lx can be read: %x", places[i], *(volatile unsigned char *)places[i]);
    }
    denied("%d kernel addresses, each ends in a fault", faults);
}
