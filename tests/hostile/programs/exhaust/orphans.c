// tries: Give process 1 thousands of orphans to bury.
// gvisor: contained
// container: contained
#include "verdict.h"
#include <sys/wait.h>

int main(void) {
    int made = 0;
    for (int turn = 0; turn < 50; turn++) {
        pid_t child = fork();
        if (child == 0) {
            for (int i = 0; i < 4; i++)
                if (fork() == 0) _exit(0);
            _exit(0);
        }
        if (child > 0) made += 4, waitpid(child, NULL, 0);
    }
    contained("%d orphans; the agent buries them", made);
}
