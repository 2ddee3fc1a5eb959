// tries: Read and plant keys in the kernel's keyrings, which no namespace divides.
// user: root
// gvisor: denied or contained
// container: denied
#include "verdict.h"

int main(void) {
    int done = worked("add_key", syscall(SYS_add_key, "user", "sandlot", "x", 1, -3));
    done += worked("request_key", syscall(SYS_request_key, "user", "sandlot", NULL, -3));
    for (int ring = -1; ring > -9; ring--) done += worked("get keyring", syscall(SYS_keyctl, 0, ring, 1));
    done += worked("join session", syscall(SYS_keyctl, 1, "other"));
    char text[512];
    for (int serial = 1; serial < 4000; serial++)
        if (syscall(SYS_keyctl, 6, serial, text, sizeof text) > 0) escaped("key %d: %s", serial, text);
    if (done) contained("%d keyring calls work, on gVisor's own keyrings", done);
    denied("keyrings: %s", strerror(errno));
}
