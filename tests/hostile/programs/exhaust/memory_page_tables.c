// tries: Take the kernel's memory with page tables: one page touched in every gigabyte of address space.
// gvisor: limited or ended or contained or stopped
// container: limited or ended or contained
#include "verdict.h"
#include <sys/mman.h>

int main(void) {
    long touched = 0;
    for (long turn = 0; turn < 12000; turn++) {
        char *room = mmap((void *)(0x100000000L + turn * 0x40000000L), 4096, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (room == MAP_FAILED) break;
        *room = 1;
        touched++;
    }
    limited("%ld pages, each with tables of its own, then %s", touched, strerror(errno));
}
