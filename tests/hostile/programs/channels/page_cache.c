// tries: Learn which files of the shared template others have read, by mincore and by timing.
// gvisor: denied or contained
// container: seen or contained
// timeout: 20
#include "verdict.h"
#include <sys/mman.h>
#include <sys/stat.h>

int main(void) {
    const char *files[] = {"/usr/bin/git", "/usr/bin/sqlite3", "/usr/bin/wget", "/usr/bin/rsync", "/usr/bin/nano"};
    int resident = 0, pages = 0;
    for (int i = 0; i < 5; i++) {
        struct stat about;
        int file = open(files[i], O_RDONLY);
        if (file < 0 || fstat(file, &about)) continue;
        unsigned char vector[4096] = {0};
        void *map = mmap(NULL, about.st_size, PROT_READ, MAP_SHARED, file, 0);
        size_t count = about.st_size / 4096 < 4096 ? about.st_size / 4096 : 4096;
        if (mincore(map, count * 4096, vector)) continue;
        for (size_t page = 0; page < count; page++) resident += vector[page] & 1, pages++;
    }
    if (!pages) denied("mincore: %s", strerror(errno));
    if (resident == pages || resident == 0) contained("mincore says the same of all %d pages", pages);
    seen("%d of %d pages of the template are in the host's cache", resident, pages);
}
