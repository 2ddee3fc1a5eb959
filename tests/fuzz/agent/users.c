/* /etc/passwd and /etc/group are the guest's: the root agent reads them whatever they say. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "box.h"
#include "launch.h"
#include "user.h"

static void write_file(const char *path, const uint8_t *data, size_t size) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) __builtin_trap();
    static long tick; /* or what was read before would be taken for it */
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {++tick, 0}};
    futimens(fd, times);
    close(fd);
}

static void look_up(const char *text) {
    struct user user;
    uid_t uid;
    gid_t gid;
    char name[32];
    char *none[] = {NULL};
    owner_find(text, &uid, &gid);
    if (!user_find(text, &user)) return;
    if (strlen(user.name) >= sizeof user.name || strlen(user.home) >= sizeof user.home) __builtin_trap();
    if (user.group_count < 1 || user.group_count > USER_GROUPS_MAX) __builtin_trap();
    user_in_group(&user, "sudo");
    user_name(user.uid, name, sizeof name);
    group_name(user.gid, name, sizeof name);
    free(environment_complete(none, &user, true));
}

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count, (void)arguments;
    box_open();
    return 0;
}

/* The text to look up, NUL, passwd, NUL, group. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char text[600] = "";
    const uint8_t *end = memchr(data, 0, size), *second;
    if (!end || end - data >= (ptrdiff_t)sizeof text) return 0;
    memcpy(text, data, (size_t)(end - data));
    const uint8_t *passwd = end + 1;
    size_t left = size - (size_t)(passwd - data);
    second = memchr(passwd, 0, left);
    size_t first = second ? (size_t)(second - passwd) : left;
    box_enter(data, size);
    write_file("/etc/passwd", passwd, first);
    write_file("/etc/group", passwd + first, left - first);
    look_up(text);
    look_up("root");
    look_up("1000:1000");
    box_leave();
    return 0;
}
