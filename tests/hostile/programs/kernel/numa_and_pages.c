// tries: Move memory between nodes, pin it, and ask which of the host's pages it is on.
// user: root
// gvisor: contained
// container: contained: locked pages count as its memory, page numbers are blanked
#include "verdict.h"
#include <stdint.h>
#include <sys/mman.h>

int main(void) {
    size_t size = 8 << 20;
    char *room = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(room, 1, size);
    worked("mlock", mlock(room, size));
    unsigned long nodes = 1;
    worked("mbind", syscall(SYS_mbind, room, size, 2, &nodes, 64, 0));
    worked("migrate_pages", syscall(SYS_migrate_pages, 1, 64, &nodes, &nodes));
    int pages = open("/proc/self/pagemap", O_RDONLY);
    uint64_t entry = 0;
    if (pages >= 0 && pread(pages, &entry, 8, (uintptr_t)room / 4096 * 8) == 8 && entry & ((1UL << 55) - 1))
        escaped("page %lx of the host is known", (unsigned long)(entry & ((1UL << 55) - 1)));
    contained("it moves nothing but its own");
}
