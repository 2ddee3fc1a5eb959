#include "box.h"

#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static int outside = -1, working = -1, kept = -1;
static const char place[] = "/mnt"; /* covered in this mount namespace only */

static void must(int result, const char *what) {
    if (result >= 0) return;
    perror(what);
    _exit(1);
}

void box_open(void) {
    must(unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS), "unshare");
    must(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), "private mounts");
    must(mount("none", place, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=8m,nr_inodes=4096"), "tmpfs");
    outside = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    working = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(outside, "/");
    must(working, ".");
    const char *keep = getenv("SANDLOT_FUZZ_INPUT");
    if (keep) kept = open(keep, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    box_enter(NULL, 0);
    box_clear();
    box_leave();
}

void box_enter(const void *input, size_t size) {
    if (kept >= 0 && (ftruncate(kept, 0) < 0 || pwrite(kept, input, size, 0) < 0)) must(-1, "input");
    must(chroot(place), "chroot");
    must(chdir("/"), "chdir");
}

void box_leave(void) {
    must(fchdir(outside), "fchdir");
    must(chroot("."), "chroot");
    must(fchdir(working), "fchdir");
}

static int remove_one(const char *path, const struct stat *at, int kind, struct FTW *where) {
    (void)at, (void)kind, (void)where;
    remove(path);
    return 0;
}

void box_clear(void) {
    nftw("/", remove_one, 16, FTW_DEPTH | FTW_PHYS);
    mkdir("/etc", 0755);
    mkdir("/root", 0700);
}
