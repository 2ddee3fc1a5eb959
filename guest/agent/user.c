#include "user.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DATABASE_MAX = 1024 * 1024, FIELDS_MAX = 7 };

/* One file, read again only when it has changed. */
struct database {
    const char *path;
    char *text;
    size_t length;
    struct stat as_of;
};

static struct database passwd = {.path = "/etc/passwd"}, group = {.path = "/etc/group"};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void refresh(struct database *database) {
    struct stat now;
    const struct stat *then = &database->as_of;
    if (stat(database->path, &now) == 0 && database->text && now.st_ino == then->st_ino &&
        now.st_size == then->st_size && now.st_mtim.tv_sec == then->st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == then->st_mtim.tv_nsec)
        return;
    free(database->text);
    database->text = NULL;
    database->length = 0;
    int fd = open(database->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return;
    if (fstat(fd, &now) == 0 && S_ISREG(now.st_mode)) {
        size_t size = now.st_size > DATABASE_MAX ? DATABASE_MAX : (size_t)now.st_size;
        char *text = malloc(size + 1);
        size_t length = 0;
        while (text && length < size) {
            ssize_t got = read(fd, text + length, size - length);
            if (got <= 0) break;
            length += (size_t)got;
        }
        if (text) {
            database->text = text;
            database->length = length;
            database->as_of = now;
        }
    }
    close(fd);
}

struct field {
    const char *at;
    size_t length;
};

/* Steps through the lines of a database, split at colons. */
static bool next_line(struct database *database, size_t *at, struct field fields[FIELDS_MAX]) {
    if (*at >= database->length) return false;
    const char *line = database->text + *at;
    const char *end = memchr(line, '\n', database->length - *at);
    size_t length = end ? (size_t)(end - line) : database->length - *at;
    *at += length + 1;
    for (int i = 0; i < FIELDS_MAX; i++) {
        const char *colon = i < FIELDS_MAX - 1 ? memchr(line, ':', length) : NULL;
        size_t size = colon ? (size_t)(colon - line) : length;
        fields[i] = (struct field){line, size};
        size_t step = colon ? size + 1 : size;
        line += step;
        length -= step;
    }
    return true;
}

static bool is(struct field field, const char *text) {
    return field.length == strlen(text) && memcmp(field.at, text, field.length) == 0;
}

static bool number(struct field field, uint32_t *value) {
    uint64_t total = 0;
    if (field.length == 0 || field.length > 10) return false;
    for (size_t i = 0; i < field.length; i++) {
        if (field.at[i] < '0' || field.at[i] > '9') return false;
        total = total * 10 + (uint64_t)(field.at[i] - '0');
    }
    *value = (uint32_t)total;
    return total < UINT32_MAX; /* -1 means "leave as it is" to the system */
}

static void copy(char *into, size_t size, struct field field) {
    size_t length = field.length < size ? field.length : size - 1;
    memcpy(into, field.at, length);
    into[length] = 0;
}

static bool passwd_line(struct field key, bool by_name, struct field fields[FIELDS_MAX], uint32_t uid) {
    size_t at = 0;
    uint32_t value;
    while (next_line(&passwd, &at, fields)) {
        if (fields[0].length == 0 || !number(fields[2], &value)) continue;
        if (by_name ? fields[0].length == key.length && memcmp(fields[0].at, key.at, key.length) == 0 : value == uid)
            return true;
    }
    return false;
}

static bool group_line(struct field key, bool by_name, struct field fields[FIELDS_MAX], uint32_t gid) {
    size_t at = 0;
    uint32_t value;
    while (next_line(&group, &at, fields)) {
        if (fields[0].length == 0 || !number(fields[2], &value)) continue;
        if (by_name ? fields[0].length == key.length && memcmp(fields[0].at, key.at, key.length) == 0 : value == gid)
            return true;
    }
    return false;
}

static bool has_member(struct field members, const char *name) {
    size_t size = strlen(name);
    while (members.length) {
        const char *comma = memchr(members.at, ',', members.length);
        size_t length = comma ? (size_t)(comma - members.at) : members.length;
        if (length == size && memcmp(members.at, name, size) == 0) return true;
        size_t step = comma ? length + 1 : length;
        members.at += step;
        members.length -= step;
    }
    return false;
}

static void add_groups(struct user *user) {
    struct field fields[FIELDS_MAX];
    size_t at = 0;
    uint32_t gid;
    user->groups[user->group_count++] = user->gid;
    while (user->group_count < USER_GROUPS_MAX && next_line(&group, &at, fields))
        if (number(fields[2], &gid) && gid != user->gid && has_member(fields[3], user->name))
            user->groups[user->group_count++] = gid;
}

static struct field until(const char *text, size_t length) { return (struct field){text, length}; }

static bool find_locked(const char *text, struct user *user) {
    struct field fields[FIELDS_MAX];
    const char *colon = strchr(text, ':');
    struct field name = until(text, colon ? (size_t)(colon - text) : strlen(text));
    struct field group_part = colon ? until(colon + 1, strlen(colon + 1)) : until("", 0);
    uint32_t uid = 0, gid;
    bool known = passwd_line(name, true, fields, 0);
    if (!known && number(name, &uid)) {
        known = passwd_line(name, false, fields, uid);
        if (!known) {
            user->uid = uid;
            user->gid = uid == 0 ? 0 : uid;
            copy(user->name, sizeof user->name, name);
            strcpy(user->home, "/");
            strcpy(user->shell, "/bin/sh");
        }
    } else if (!known && is(name, "root")) {
        /* An image without /etc/passwd still has a root. */
        *user = (struct user){.name = "root", .home = "/root", .shell = "/bin/sh"};
    } else if (!known) {
        return false;
    }
    if (known) {
        if (!number(fields[2], &user->uid) || !number(fields[3], &user->gid)) return false;
        copy(user->name, sizeof user->name, fields[0]);
        copy(user->home, sizeof user->home, fields[5].length ? fields[5] : until("/", 1));
        copy(user->shell, sizeof user->shell, fields[6].length ? fields[6] : until("/bin/sh", 7));
    }
    if (colon) {
        if (group_line(group_part, true, fields, 0)) number(fields[2], &gid);
        else if (!number(group_part, &gid)) return false;
        user->gid = gid;
    }
    add_groups(user);
    return true;
}

bool user_find(const char *text, struct user *user) {
    memset(user, 0, sizeof *user);
    pthread_mutex_lock(&lock);
    refresh(&passwd);
    refresh(&group);
    bool found = find_locked(*text ? text : "root", user);
    pthread_mutex_unlock(&lock);
    return found;
}

bool owner_find(const char *text, uid_t *uid, gid_t *gid) {
    *uid = (uid_t)-1;
    *gid = (gid_t)-1;
    const char *colon = strchr(text, ':');
    if (text[0] == ':' && text[1] == 0) return false;
    if (text[0] == ':') {
        struct field fields[FIELDS_MAX], name = until(text + 1, strlen(text + 1));
        pthread_mutex_lock(&lock);
        refresh(&group);
        bool found = (group_line(name, true, fields, 0) && number(fields[2], gid)) || number(name, gid);
        pthread_mutex_unlock(&lock);
        return found;
    }
    struct user user;
    char trimmed[512];
    bool login_group = colon && colon[1] == 0; /* "bob:" is bob and his login group */
    if (strlen(text) >= sizeof trimmed) return false;
    strcpy(trimmed, text);
    if (login_group) trimmed[strlen(trimmed) - 1] = 0;
    if (!user_find(trimmed, &user)) return false;
    *uid = user.uid;
    if (colon) *gid = user.gid;
    return true;
}

bool user_in_group(const struct user *user, const char *name) {
    struct field fields[FIELDS_MAX];
    uint32_t gid = 0;
    pthread_mutex_lock(&lock);
    refresh(&group);
    bool found = group_line(until(name, strlen(name)), true, fields, 0) && number(fields[2], &gid);
    pthread_mutex_unlock(&lock);
    for (int i = 0; found && i < user->group_count; i++)
        if (user->groups[i] == gid) return true;
    return false;
}

void user_name(uid_t uid, char *name, size_t size) {
    struct field fields[FIELDS_MAX];
    if (uid == 0) {
        snprintf(name, size, "root");
        return;
    }
    pthread_mutex_lock(&lock);
    if (!passwd.text) refresh(&passwd);
    if (passwd_line(until("", 0), false, fields, uid)) copy(name, size, fields[0]);
    else snprintf(name, size, "%u", uid);
    pthread_mutex_unlock(&lock);
}

void group_name(gid_t gid, char *name, size_t size) {
    struct field fields[FIELDS_MAX];
    if (gid == 0) {
        snprintf(name, size, "root");
        return;
    }
    pthread_mutex_lock(&lock);
    if (!group.text) refresh(&group);
    if (group_line(until("", 0), false, fields, gid)) copy(name, size, fields[0]);
    else snprintf(name, size, "%u", gid);
    pthread_mutex_unlock(&lock);
}

/* libc's wrappers change every thread of the process; these calls change one. */
bool user_become(const struct user *user) {
    return syscall(SYS_setgroups, user->group_count, user->groups) == 0 &&
           syscall(SYS_setresgid, -1, user->gid, -1) == 0 && syscall(SYS_setresuid, -1, user->uid, -1) == 0;
}

void user_become_root(void) {
    gid_t root = 0;
    syscall(SYS_setresuid, -1, 0, -1);
    syscall(SYS_setresgid, -1, 0, -1);
    syscall(SYS_setgroups, 1, &root);
}

int user_drop(const struct user *user) {
    if (syscall(SYS_setgroups, user->group_count, user->groups) < 0) return errno;
    if (syscall(SYS_setresgid, user->gid, user->gid, user->gid) < 0) return errno;
    if (syscall(SYS_setresuid, user->uid, user->uid, user->uid) < 0) return errno;
    return 0;
}
