// tries: Make as many separate mappings as the kernel gives.
// gvisor: limited or ended or contained or stopped
// container: limited
#include "verdict.h"
#include <sys/mman.h>

int main(void) {
    long made = 0;
    for (; made < 100000; made++)
        if (mmap(NULL, 4096, made % 2 ? PROT_READ : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED)
            limited("%ld mappings, then %s", made, strerror(errno));
    contained("%ld mappings", made);
}
