/* Files of the guest. Every function is a job's; paths are resolved by the guest's kernel as the job's user. */
#pragma once
#include <sys/stat.h>

#include "job.h"

bool files_stat(struct job *);
bool files_list(struct job *);
bool files_read(struct job *);
bool files_write(struct job *);
bool files_mkdir(struct job *);
bool files_move(struct job *);
bool files_copy(struct job *);
bool files_remove(struct job *);
bool files_chmod(struct job *);
bool files_chown(struct job *);

/* Shared with trees. */
enum file_kind { KIND_FILE = 1, KIND_DIRECTORY = 2, KIND_SYMLINK = 3, KIND_OTHER = 4 };
enum { MODE_KEPT = 0xFFFFFFFF, DEPTH_MAX = 512, ENTRIES_MAX = 100000 };

enum file_kind file_kind(mode_t mode);
/* When it was last written, in ns since 1970; what 64 bits cannot hold, as far as they go. */
int64_t file_time(const struct stat *);
/* A file that is being written has a name that says what it will have been once it is whole, for watches to tell. */
enum { WRITTEN_OVER = 1 /* there was one before */, WRITTEN_OWNED = 2 /* its owner or mode was set */ };
/* Whether this is such a name. */
bool file_is_temporary(const char *name);
unsigned file_temporary_flags(const char *name);
/* Makes the folders above `path`; those made get the owner (-1: left alone). */
bool make_parents(struct job *, const char *path, uid_t uid, gid_t gid);
/* Removes `name` in `directory` and all below it. `path` is for messages. */
bool remove_below(struct job *, int directory, const char *name, const char *path, unsigned depth);

/* A file being written beside the one that it will replace. */
struct replacement {
    int fd;
    bool in_place; /* the folder lets nobody make files, or `path` is a device: written through */
    char path[JOB_PATH_MAX], temporary[JOB_PATH_MAX];
};
/* `owned`: whether its owner or mode will be set. */
bool replacement_open(struct job *, const char *path, bool owned, struct replacement *);
bool replacement_write(struct job *, struct replacement *, const void *data, size_t length);
bool replacement_commit(struct job *, struct replacement *);
void replacement_abandon(struct replacement *);
