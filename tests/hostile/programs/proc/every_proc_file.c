// tries: Open every file in /proc for writing and write a line into it.
// user: root
// gvisor: contained: gVisor's own settings
// container: denied
// timeout: 30
#include "verdict.h"
#include <dirent.h>
#include <sys/stat.h>

static int taken, tried;

static void walk(const char *folder, int depth) {
    DIR *list = opendir(folder);
    if (!list) return;
    for (struct dirent *entry; (entry = readdir(list));) {
        char path[1024];
        struct stat found;
        if (entry->d_name[0] == '.') continue;
        if (depth == 0 && entry->d_name[0] >= '0' && entry->d_name[0] <= '9') continue;
        if (!strcmp(entry->d_name, "self") || !strcmp(entry->d_name, "thread-self")) continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (lstat(path, &found) || S_ISLNK(found.st_mode)) continue;
        if (S_ISDIR(found.st_mode)) walk(path, depth + 1);
        if (!S_ISREG(found.st_mode)) continue;
        tried++;
        int file = open(path, O_WRONLY | O_NONBLOCK);
        if (file < 0) continue;
        if (write(file, "0\n", 2) == 2) taken++, printf("%s\n", path);
        close(file);
    }
    closedir(list);
}

int main(void) {
    walk("/proc", 0);
    if (taken) contained("%d of %d files took a line", taken, tried);
    denied("none of %d files took a line", tried);
}
