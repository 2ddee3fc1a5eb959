/* Users and groups of the guest, read from its own /etc/passwd and /etc/group. Safe from any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { USER_GROUPS_MAX = 128 };

struct user {
    uid_t uid;
    gid_t gid;
    int group_count;
    gid_t groups[USER_GROUPS_MAX];
    char name[256], home[1024], shell[1024];
};

/* "" is root, else a name, "1000" or "1000:1000". False when there is no such user. */
bool user_find(const char *text, struct user *user);
/* As written in a `chown`: "bob", "bob:staff", "1000", ":staff". An absent half is -1. */
bool owner_find(const char *text, uid_t *uid, gid_t *gid);
bool user_in_group(const struct user *user, const char *group);
/* Both as of the last user_find; the number itself where there is no name. */
void user_name(uid_t uid, char *name, size_t size);
void group_name(gid_t gid, char *name, size_t size);
/* The calling thread, and only it, gets the file permissions of the user. */
bool user_become(const struct user *user);
void user_become_root(void);
/* In a child about to exec: for good. The errno of the failure or 0. */
int user_drop(const struct user *user);
