// tries: Find the agent's secret in its memory, with process_vm_readv and /proc/1/mem, as root.
// user: root
// gvisor: contained or denied
// container: denied
#include "verdict.h"
#include <sys/uio.h>

int main(void) {
    static char page[4096];
    unsigned long from, to;
    FILE *maps = fopen("/proc/1/maps", "r");
    if (!maps) denied("/proc/1/maps: %s", strerror(errno));
    int mem = open("/proc/1/mem", O_RDONLY), pages = 0;
    char line[400];
    while (fgets(line, sizeof line, maps))
        if (sscanf(line, "%lx-%lx", &from, &to) == 2)
            for (unsigned long at = from; at < to && at < from + (4 << 20); at += 4096) {
                struct iovec here = {page, 4096}, there = {(void *)at, 4096};
                long got = syscall(SYS_process_vm_readv, 1, &here, 1, &there, 1, 0);
                if (got <= 0 && mem >= 0) got = pread(mem, page, 4096, at);
                if (got > 0) pages++, fwrite(page, 1, got, stdout);
            }
    if (!pages) denied("no page could be read: %s", strerror(errno));
    contained("%d pages of the agent, whose own sandbox this is", pages);
}
