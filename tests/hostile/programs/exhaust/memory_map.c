// tries: Map memory and touch every page, from eight processes at once.
// timeout: 40
// gvisor: ended or limited
// container: ended or limited
#include "verdict.h"
#include <sys/mman.h>
#include <sys/wait.h>

int main(void) {
    for (int child = 0; child < 8; child++)
        if (fork() == 0)
            for (;;) {
                char *room = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (room == MAP_FAILED) _exit(1);
                for (int at = 0; at < 1 << 20; at += 4096) room[at] = 1;
            }
    int ended = 0;
    while (wait(NULL) > 0) ended++;
    limited("%d of 8 children were ended", ended);
}
