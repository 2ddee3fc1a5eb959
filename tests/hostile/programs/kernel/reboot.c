// tries: Switch the reaction to Ctrl-Alt-Del, then reboot the machine.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"

int main(void) {
    int done = worked("CAD off", syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL));
    done += worked("restart", syscall(SYS_reboot, 0xfee1dead, 672274793, 0x01234567, NULL));
    if (done) escaped("reboot works");
    denied("reboot: %s", strerror(errno));
}
