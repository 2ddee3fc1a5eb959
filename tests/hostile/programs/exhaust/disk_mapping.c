// tries: Fill the disk past its end through a mapping of a file of holes.
// gvisor: ended or limited
// container: ended or limited
#include "verdict.h"
#include <sys/mman.h>

int main(void) {
    long size = 160L << 20;
    int file = open("holes", O_RDWR | O_CREAT, 0600);
    must("ftruncate", ftruncate(file, size));
    char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    for (long at = 0; at < size; at += 4096) map[at] = 1;
    limited("written; msync: %s", msync(map, size, MS_SYNC) ? strerror(errno) : "no error");
}
