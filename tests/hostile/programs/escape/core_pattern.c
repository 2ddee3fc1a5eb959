// tries: Have the kernel run a program on the host when a process crashes, by writing core_pattern.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"
#include <sys/wait.h>

int main(void) {
    char line[256];
    snprintf(line, sizeof line, "|/bin/touch %s/owned", getenv("CANARY"));
    const char *paths[] = {"/proc/sys/kernel/core_pattern", "/proc/1/root/proc/sys/kernel/core_pattern"};
    int taken = 0;
    for (int i = 0; i < 2; i++) taken += wrote(paths[i], line);
    if (!taken) denied("core_pattern cannot be written");
    if (fork() == 0) abort();
    wait(NULL);
    contained("core_pattern was taken by the sandbox's own kernel");
}
