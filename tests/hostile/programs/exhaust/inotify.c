// tries: Make file watches and watchers without end: one user's count is the host's.
// gvisor: limited or contained or ended
// container: limited or contained
#include "verdict.h"
#include <sys/inotify.h>
#include <sys/stat.h>

int main(void) {
    int watchers = 0, watches = 0, last = -1, made;
    while (watchers < 400 && (made = inotify_init1(0)) >= 0) last = made, watchers++;
    printf("watchers: %s\n", strerror(errno));
    for (; watches < 2000; watches++) {
        char path[40];
        snprintf(path, sizeof path, "w%d", watches);
        if (mkdir(path, 0755) || inotify_add_watch(last, path, IN_ALL_EVENTS) < 0) break;
    }
    limited("%d watchers, %d watches, then %s", watchers, watches, strerror(errno));
}
