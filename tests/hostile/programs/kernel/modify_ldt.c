// tries: Write a segment of its own into the processor's local descriptor table.
// gvisor: denied
// container: denied
#include "verdict.h"

int main(void) {
#ifdef __x86_64__
    struct {
        unsigned entry, base, limit, flags;
    } segment = {0, 0, 0xfffff, 0x51};
    int done = worked("write", syscall(SYS_modify_ldt, 1, &segment, sizeof segment));
    done += worked("new write", syscall(SYS_modify_ldt, 0x11, &segment, sizeof segment));
    char table[4096];
    done += worked("read", syscall(SYS_modify_ldt, 0, table, sizeof table));
    if (done) escaped("modify_ldt works");
    denied("modify_ldt: %s", strerror(errno));
#else
    denied("no such table on this processor");
#endif
}
