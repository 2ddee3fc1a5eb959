#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { COPY_SIZE = 256 * 1024, INFO_BATCH = 16 * 1024, NO_REPLACE = 1 /* RENAME_NOREPLACE */ };
enum { FOLLOW_AND_NAME = 2 /* STAT gives the path without links */ };

enum file_kind file_kind(mode_t mode) {
    if (S_ISREG(mode)) return KIND_FILE;
    if (S_ISDIR(mode)) return KIND_DIRECTORY;
    if (S_ISLNK(mode)) return KIND_SYMLINK;
    return KIND_OTHER;
}

int64_t file_time(const struct stat *at) {
    int64_t time;
    if (!__builtin_mul_overflow((int64_t)at->st_mtim.tv_sec, INT64_C(1000000000), &time) &&
        !__builtin_add_overflow(time, (int64_t)at->st_mtim.tv_nsec, &time))
        return time;
    return at->st_mtim.tv_sec < 0 ? INT64_MIN + 1 : INT64_MAX; /* INT64_MIN says that there is none */
}

/* ---- describing ---- */

static void put_info(struct writer *writer, int directory, const char *name, const char *path, const struct stat *at) {
    char target[JOB_PATH_MAX], owner[256] = "", group[256] = "";
    ssize_t length = S_ISLNK(at->st_mode) ? readlinkat(directory, name, target, sizeof target) : -1;
    user_name(at->st_uid, owner, sizeof owner);
    group_name(at->st_gid, group, sizeof group);
    put_u8(writer, (uint8_t)file_kind(at->st_mode));
    put_u64(writer, (uint64_t)at->st_size);
    put_u32(writer, at->st_mode & 07777);
    put_u32(writer, at->st_uid);
    put_u32(writer, at->st_gid);
    put_u64(writer, (uint64_t)file_time(at));
    put_text(writer, path);
    put_text(writer, owner);
    put_text(writer, group);
    put_u8(writer, length >= 0);
    put_bytes(writer, target, length >= 0 ? (size_t)length : 0);
}

static bool reply_info(struct job *job, const char *path, bool follow) {
    struct stat at;
    if (fstatat(AT_FDCWD, path, &at, follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0) return job_fail_path(job, errno, path);
    put_info(&job->reply, AT_FDCWD, path, path, &at);
    return true;
}

bool files_stat(struct job *job) {
    char path[JOB_PATH_MAX];
    if (!job_path(job, path)) return false;
    uint8_t follow = get_u8(&job->request);
    if (job->request.bad) return job_fail_malformed(job);
    char resolved[PATH_MAX];
    bool known = follow == FOLLOW_AND_NAME && realpath(path, resolved);
    return reply_info(job, known ? resolved : path, follow);
}

struct listing {
    struct job *job;
    uint32_t count, depth;
    struct writer batch;
    uint8_t memory[INFO_BATCH + JOB_REPLY_MAX];
};

static bool send_batch(struct listing *listing) {
    bool sent = listing->batch.length == 0 ||
                job_emit(listing->job, FRAME_ENTRY, listing->batch.data, listing->batch.length);
    listing->batch.length = 0;
    return sent;
}

static bool list_one(struct listing *listing, int fd, const char *name, const char *path, bool *is_directory) {
    struct stat at;
    *is_directory = false;
    if (fstatat(fd, name, &at, AT_SYMLINK_NOFOLLOW) < 0) return true; /* gone meanwhile */
    if (++listing->count > ENTRIES_MAX)
        return job_fail(listing->job, ERROR_LIMIT, 0, "more than %d entries: list a smaller part", ENTRIES_MAX);
    *is_directory = S_ISDIR(at.st_mode);
    put_info(&listing->batch, fd, name, path, &at);
    return listing->batch.length < INFO_BATCH || send_batch(listing);
}

/* Takes over `fd`. `path` has room for what is below it. */
static bool list_directory(struct listing *listing, int fd, char path[JOB_PATH_MAX], uint32_t depth) {
    DIR *directory = fdopendir(fd);
    if (!directory) {
        close(fd);
        return job_fail_path(listing->job, errno, path);
    }
    size_t length = strlen(path);
    bool going = true;
    struct dirent *entry;
    while (going && (entry = readdir(directory))) {
        const char *name = entry->d_name;
        size_t size = strlen(name);
        bool deeper;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || length + size + 2 > JOB_PATH_MAX) continue;
        snprintf(path + length, JOB_PATH_MAX - length, "%s%s", path[length - 1] == '/' ? "" : "/", name);
        going = list_one(listing, dirfd(directory), name, path, &deeper) && !job_cancelled(listing->job);
        if (going && deeper && depth < listing->depth && depth < DEPTH_MAX) {
            int below = openat(dirfd(directory), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            if (below >= 0) going = list_directory(listing, below, path, depth + 1);
        }
        path[length] = 0;
    }
    closedir(directory);
    return going;
}

bool files_list(struct job *job) {
    char path[JOB_PATH_MAX];
    if (!job_path(job, path)) return false;
    uint32_t depth = get_u32(&job->request);
    if (job->request.bad) return job_fail_malformed(job);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOTDIR) return job_fail(job, ERROR_INVALID, ENOTDIR, "not a directory: %s", path);
    if (fd < 0) return job_fail_path(job, errno, path);
    struct listing *listing = malloc(sizeof *listing);
    if (!listing) {
        close(fd);
        return job_fail_path(job, ENOMEM, path);
    }
    listing->job = job;
    listing->count = 0;
    listing->depth = depth;
    listing->batch = (struct writer){.data = listing->memory, .capacity = sizeof listing->memory};
    bool whole = list_directory(listing, fd, path, 1) && send_batch(listing);
    put_u32(&job->reply, listing->count);
    free(listing);
    return whole;
}

/* ---- reading ---- */

static int open_regular(struct job *job, const char *path, struct stat *at) {
    /* Never waits for a writer of a FIFO, nor for a device. */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        job_fail_path(job, errno, path);
        return -1;
    }
    if (fstat(fd, at) == 0 && S_ISREG(at->st_mode)) return fd;
    close(fd);
    job_fail(job, ERROR_INVALID, S_ISDIR(at->st_mode) ? EISDIR : EINVAL, "%s: %s",
             S_ISDIR(at->st_mode) ? "it is a directory" : "not a regular file", path);
    return -1;
}

static bool send_content(struct job *job, int fd, const char *path, uint64_t left) {
    while (left) {
        ssize_t got = job_emit_file(job, fd, left);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno == ECANCELED ? false : job_fail_path(job, errno, path);
        if (got == 0) break;
        left -= (uint64_t)got;
    }
    return true;
}

bool files_read(struct job *job) {
    char path[JOB_PATH_MAX];
    struct stat at;
    if (!job_path(job, path)) return false;
    uint64_t offset = get_u64(&job->request), length = get_u64(&job->request);
    if (job->request.bad || offset > INT64_MAX) return job_fail_malformed(job);
    int fd = open_regular(job, path, &at);
    if (fd < 0) return false;
    put_info(&job->reply, AT_FDCWD, path, path, &at);
    bool good = job_control(job, FRAME_REPLY, job->reply.data, job->reply.length);
    job->reply.length = 0;
    if (good && offset && lseek(fd, (off_t)offset, SEEK_SET) < 0) good = job_fail_path(job, errno, path);
    good = good && send_content(job, fd, path, length);
    close(fd);
    return good;
}

/* ---- writing ---- */

static const char temporary_prefix[] = ".sandlot-";
enum { TEMPORARY_LENGTH = sizeof temporary_prefix - 1 + 16 };

bool file_is_temporary(const char *name) {
    return strncmp(name, temporary_prefix, sizeof temporary_prefix - 1) == 0 && strlen(name) == TEMPORARY_LENGTH;
}

unsigned file_temporary_flags(const char *name) {
    return (unsigned)strtoul(name + TEMPORARY_LENGTH - 1, NULL, 16) & (WRITTEN_OVER | WRITTEN_OWNED);
}

static bool sibling(const char *path, unsigned flags, char *temporary) {
    uint64_t random;
    const char *slash = strrchr(path, '/');
    getrandom(&random, sizeof random, 0);
    random = (random & ~(uint64_t)(WRITTEN_OVER | WRITTEN_OWNED)) | flags;
    return snprintf(temporary, JOB_PATH_MAX, "%.*s/%s%016llx", (int)(slash - path), path,
                    temporary_prefix, (unsigned long long)random) < JOB_PATH_MAX;
}

static bool open_in_place(struct job *job, struct replacement *file) {
    file->in_place = true;
    file->fd = open(file->path, O_WRONLY | O_TRUNC | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    return file->fd >= 0 || job_fail_path(job, errno, file->path);
}

bool replacement_open(struct job *job, const char *path, bool owned, struct replacement *file) {
    struct stat at;
    file->fd = -1;
    file->in_place = false;
    bool exists = stat(path, &at) == 0;
    if (exists && S_ISDIR(at.st_mode)) return job_fail_path(job, EISDIR, path);
    /* A link stays a link: what it points at is replaced. */
    if (!exists || !realpath(path, file->path)) snprintf(file->path, sizeof file->path, "%s", path);
    if (exists && !S_ISREG(at.st_mode)) return open_in_place(job, file);
    if (!sibling(file->path, (exists ? WRITTEN_OVER : 0) | (owned ? WRITTEN_OWNED : 0), file->temporary)) return job_fail_path(job, ENAMETOOLONG, path);
    file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, exists ? 0600 : 0666);
    if (file->fd < 0 && exists && (errno == EACCES || errno == EPERM || errno == EROFS)) return open_in_place(job, file);
    if (file->fd < 0) return job_fail_path(job, errno, path);
    if (!exists) return true;
    /* Only root can give a file away; for others it becomes the writer's, as with any editor. */
    if (fchown(file->fd, at.st_uid, at.st_gid) < 0 && fchown(file->fd, (uid_t)-1, at.st_gid) < 0) errno = 0;
    fchmod(file->fd, at.st_mode & 07777);
    return true;
}

void replacement_abandon(struct replacement *file) {
    if (file->fd < 0) return;
    close(file->fd);
    file->fd = -1;
    if (!file->in_place) unlink(file->temporary);
}

static bool write_all(int fd, const uint8_t *data, size_t length) {
    while (length) {
        ssize_t put = write(fd, data, length);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return false;
        data += put;
        length -= (size_t)put;
    }
    return true;
}

bool replacement_write(struct job *job, struct replacement *file, const void *data, size_t length) {
    return write_all(file->fd, data, length) || job_fail_path(job, errno, file->path);
}

static bool copy_content(struct job *job, int from, int to, const char *path) {
    uint8_t *buffer = malloc(COPY_SIZE);
    if (!buffer) return job_fail_path(job, ENOMEM, path);
    bool good = true;
    for (ssize_t got = 1; good && got;) {
        got = read(from, buffer, COPY_SIZE);
        if (job_cancelled(job)) good = false;
        else if (got < 0 && errno != EINTR) good = job_fail_path(job, errno, path);
        else if (got > 0 && !write_all(to, buffer, (size_t)got)) good = job_fail_path(job, errno, path);
    }
    free(buffer);
    return good;
}

/* What is mounted on (as /etc/hosts often is) cannot be renamed over: its content is replaced instead. */
static bool pour(struct job *job, struct replacement *file) {
    int from = open(file->temporary, O_RDONLY | O_CLOEXEC);
    int to = open(file->path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    bool good = from >= 0 && to >= 0 ? copy_content(job, from, to, file->path) : job_fail_path(job, errno, file->path);
    if (from >= 0) close(from);
    if (to >= 0) close(to);
    unlink(file->temporary);
    return good;
}

bool replacement_commit(struct job *job, struct replacement *file) {
    int fd = file->fd;
    file->fd = -1;
    if (close(fd) < 0 && errno != EINTR) { /* some file systems find out only now that they are full */
        int number = errno;
        if (!file->in_place) unlink(file->temporary);
        return job_fail_path(job, number, file->path);
    }
    if (file->in_place || rename(file->temporary, file->path) == 0) return true;
    if (errno == EBUSY) return pour(job, file);
    int number = errno;
    unlink(file->temporary);
    return job_fail_path(job, number, file->path);
}

static bool set_owner_and_mode(struct job *job, int fd, const char *path, uid_t uid, gid_t gid, uint32_t mode) {
    /* In this order: giving a file away clears its setuid bits. */
    if ((uid != (uid_t)-1 || gid != (gid_t)-1) && fchown(fd, uid, gid) < 0) return job_fail_path(job, errno, path);
    if (mode != MODE_KEPT && fchmod(fd, mode & 07777) < 0) return job_fail_path(job, errno, path);
    return true;
}

static bool get_owner(struct job *job, uid_t *uid, gid_t *gid) {
    const char *owner = get_text(&job->request);
    *uid = (uid_t)-1;
    *gid = (gid_t)-1;
    if (job->request.bad) return job_fail_malformed(job);
    return !*owner || owner_find(owner, uid, gid) || job_fail(job, ERROR_INVALID, 0, "no such user or group: %s", owner);
}

/* As the last field of a request, which hosts of before version 3 do not send. */
static bool get_last_owner(struct job *job, uid_t *uid, gid_t *gid) {
    if (job->request.bad || job->request.left) return get_owner(job, uid, gid);
    *uid = (uid_t)-1;
    *gid = (gid_t)-1;
    return true;
}

static bool receive_content(struct job *job, struct replacement *file) {
    struct piece *piece;
    while ((piece = job_take(job))) {
        bool good = piece->type == FRAME_DATA ? replacement_write(job, file, piece->data, piece->length)
                                              : job_fail_malformed(job);
        job_done_with(job, piece);
        if (!good) return false;
    }
    return job_input_whole(job);
}

bool files_write(struct job *job) {
    char path[JOB_PATH_MAX];
    uid_t uid;
    gid_t gid;
    if (!job_path(job, path) || !get_owner(job, &uid, &gid)) return false;
    uint32_t mode = get_u32(&job->request);
    bool parents = get_u8(&job->request);
    if (job->request.bad) return job_fail_malformed(job);
    if (parents && !make_parents(job, path, uid, gid)) return false;
    struct replacement *file = malloc(sizeof *file);
    if (!file) return job_fail_path(job, ENOMEM, path);
    bool owned = uid != (uid_t)-1 || gid != (gid_t)-1 || mode != MODE_KEPT;
    bool good = replacement_open(job, path, owned, file) && receive_content(job, file) &&
                set_owner_and_mode(job, file->fd, path, uid, gid, mode) && replacement_commit(job, file);
    replacement_abandon(file);
    free(file);
    return good && reply_info(job, path, true);
}

/* ---- folders ---- */

/* One folder: 1 made, 0 was there, -1 failed. */
static int make_one(struct job *job, const char *path, mode_t mode, uid_t uid, gid_t gid) {
    struct stat at;
    if (mkdir(path, mode) == 0) {
        if (uid != (uid_t)-1 || gid != (gid_t)-1) lchown(path, uid, gid);
        return 1;
    }
    int number = errno;
    if (stat(path, &at) == 0) {
        if (S_ISDIR(at.st_mode)) return 0;
        number = ENOTDIR;
    }
    job_fail(job, number == ENOTDIR ? ERROR_CONFLICT : error_of(number), number, "cannot make directory %s: %s", path,
             number == ENOTDIR ? "a file of that name exists" : strerror(number));
    return -1;
}

bool make_parents(struct job *job, const char *path, uid_t uid, gid_t gid) {
    char parent[JOB_PATH_MAX];
    struct stat at;
    snprintf(parent, sizeof parent, "%s", path);
    char *last = strrchr(parent, '/');
    if (last == parent) return true;
    *last = 0;
    if (stat(parent, &at) == 0 && S_ISDIR(at.st_mode)) return true; /* nearly always */
    for (char *slash = strchr(parent + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash) *slash = 0;
        if (make_one(job, parent, 0755, uid, gid) < 0) return false;
        if (!slash) return true;
        *slash = '/';
    }
}

bool files_mkdir(struct job *job) {
    char path[JOB_PATH_MAX];
    struct stat at;
    if (!job_path(job, path)) return false;
    uint32_t mode = get_u32(&job->request);
    bool parents = get_u8(&job->request);
    uid_t uid;
    gid_t gid;
    if (!get_last_owner(job, &uid, &gid)) return false;
    if (parents && !make_parents(job, path, uid, gid)) return false;
    int made = make_one(job, path, mode & 07777, uid, gid);
    if (made < 0) return false;
    /* The caller's mode, whatever the mask; but never that of a folder that was there. */
    if (made && stat(path, &at) == 0 && (at.st_mode & 07777) != (mode & 07777)) chmod(path, mode & 07777);
    put_u8(&job->reply, (uint8_t)made);
    return true;
}

bool remove_below(struct job *job, int directory, const char *name, const char *path, unsigned depth) {
    if (unlinkat(directory, name, 0) == 0 || (depth && errno == ENOENT)) return true;
    if (errno != EISDIR && errno != EPERM) return job_fail_path(job, errno, path);
    int number = errno;
    int fd = openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return job_fail_path(job, errno == ENOTDIR ? number : errno, path);
    if (depth >= DEPTH_MAX) {
        close(fd);
        return job_fail(job, ERROR_LIMIT, 0, "more than %d folders deep: %s", DEPTH_MAX, path);
    }
    DIR *entries = fdopendir(fd);
    if (!entries) {
        close(fd);
        return job_fail_path(job, ENOMEM, path);
    }
    bool good = true;
    struct dirent *entry;
    while (good && (entry = readdir(entries))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        good = !job_cancelled(job) && remove_below(job, fd, entry->d_name, path, depth + 1);
    }
    closedir(entries);
    if (good && unlinkat(directory, name, AT_REMOVEDIR) < 0 && errno != ENOENT) good = job_fail_path(job, errno, path);
    return good;
}

bool files_remove(struct job *job) {
    char path[JOB_PATH_MAX];
    if (!job_path(job, path)) return false;
    bool recursive = get_u8(&job->request);
    if (job->request.bad) return job_fail_malformed(job);
    if (strcmp(path, "/") == 0) return job_fail(job, ERROR_INVALID, EINVAL, "the root folder cannot be removed");
    if (recursive) return remove_below(job, AT_FDCWD, path, path, 0);
    struct stat at;
    if (lstat(path, &at) < 0) return job_fail_path(job, errno, path);
    return (S_ISDIR(at.st_mode) ? rmdir(path) : unlink(path)) == 0 || job_fail_path(job, errno, path);
}

/* ---- copying and moving ---- */

struct copying {
    struct job *job;
    dev_t device; /* of the copy's own root: a folder copied into itself must not find it */
    ino_t inode;
    bool inside;
    char from[JOB_PATH_MAX], to[JOB_PATH_MAX];
};

static bool copy_file(struct copying *copying, const struct stat *at) {
    struct job *job = copying->job;
    struct stat opened;
    int from = open_regular(job, copying->from, &opened);
    if (from < 0) return false;
    struct replacement *file = malloc(sizeof *file);
    bool good = file ? replacement_open(job, copying->to, false, file) : job_fail_path(job, ENOMEM, copying->to);
    if (good) {
        good = copy_content(job, from, file->fd, copying->to);
        if (good && job->user.uid == 0 && !file->in_place && fchown(file->fd, at->st_uid, at->st_gid) < 0) errno = 0;
        if (good && !file->in_place) fchmod(file->fd, at->st_mode & 07777);
        good = good && replacement_commit(job, file);
        replacement_abandon(file);
    }
    free(file);
    close(from);
    return good;
}

static bool copy_link(struct copying *copying, const struct stat *at) {
    char target[JOB_PATH_MAX];
    ssize_t length = readlink(copying->from, target, sizeof target - 1);
    if (length < 0) return job_fail_path(copying->job, errno, copying->from);
    target[length] = 0;
    if (symlink(target, copying->to) < 0 &&
        (errno != EEXIST || unlink(copying->to) < 0 || symlink(target, copying->to) < 0))
        return job_fail_path(copying->job, errno, copying->to);
    if (copying->job->user.uid == 0) lchown(copying->to, at->st_uid, at->st_gid);
    return true;
}

static bool copy_any(struct copying *copying, unsigned depth);

static bool copy_folder(struct copying *copying, const struct stat *at, unsigned depth) {
    struct job *job = copying->job;
    if (depth >= DEPTH_MAX)
        return job_fail(job, ERROR_LIMIT, 0, "more than %d folders deep: %s", DEPTH_MAX, copying->from);
    if (mkdir(copying->to, 0700) < 0) return job_fail_path(job, errno, copying->to);
    struct stat made;
    if (!copying->inside && stat(copying->to, &made) == 0) {
        copying->inside = true;
        copying->device = made.st_dev;
        copying->inode = made.st_ino;
    }
    DIR *entries = opendir(copying->from);
    if (!entries) return job_fail_path(job, errno, copying->from);
    size_t from = strlen(copying->from), to = strlen(copying->to);
    bool good = true;
    struct dirent *entry;
    while (good && (entry = readdir(entries))) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
        size_t size = strlen(name) + 2;
        if (from + size > JOB_PATH_MAX || to + size > JOB_PATH_MAX) {
            good = job_fail_path(job, ENAMETOOLONG, copying->from);
            break;
        }
        snprintf(copying->from + from, size, "/%s", name);
        snprintf(copying->to + to, size, "/%s", name);
        good = copy_any(copying, depth + 1);
        copying->from[from] = copying->to[to] = 0;
    }
    closedir(entries);
    if (!good) return false;
    if (job->user.uid == 0) lchown(copying->to, at->st_uid, at->st_gid);
    return chmod(copying->to, at->st_mode & 07777) == 0 || job_fail_path(job, errno, copying->to);
}

static bool copy_any(struct copying *copying, unsigned depth) {
    struct stat at;
    if (job_cancelled(copying->job)) return false;
    if (lstat(copying->from, &at) < 0)
        return (depth && errno == ENOENT) || job_fail_path(copying->job, errno, copying->from);
    if (copying->inside && at.st_dev == copying->device && at.st_ino == copying->inode) return true;
    switch (file_kind(at.st_mode)) {
    case KIND_FILE: return copy_file(copying, &at);
    case KIND_SYMLINK: return copy_link(copying, &at);
    case KIND_DIRECTORY: return copy_folder(copying, &at, depth);
    default:
        return depth > 0 || job_fail(copying->job, ERROR_INVALID, 0, "not a file or folder: %s", copying->from);
    }
}

/* What was half copied does not stay. */
static bool copy_tree(struct job *job, const char *source, const char *target) {
    struct stat at;
    if (stat(target, &at) == 0 && (S_ISDIR(at.st_mode) || (lstat(source, &at) == 0 && S_ISDIR(at.st_mode))))
        return job_fail_path(job, EEXIST, target);
    struct copying *copying = malloc(sizeof *copying);
    if (!copying) return job_fail_path(job, ENOMEM, target);
    copying->job = job;
    copying->inside = false;
    strcpy(copying->from, source);
    strcpy(copying->to, target);
    bool good = copy_any(copying, 0);
    if (!good && copying->inside) {
        struct job *quiet = calloc(1, sizeof *quiet); /* neither cancelled nor heard */
        if (quiet) remove_below(quiet, AT_FDCWD, target, target, 0);
        free(quiet);
    }
    free(copying);
    return good;
}

bool files_copy(struct job *job) {
    char source[JOB_PATH_MAX], target[JOB_PATH_MAX];
    struct stat at;
    if (!job_path(job, source) || !job_path(job, target)) return false;
    if (lstat(source, &at) < 0) return job_fail_path(job, errno, source);
    if (!make_parents(job, target, (uid_t)-1, (gid_t)-1)) return false;
    return copy_tree(job, source, target) && reply_info(job, target, false);
}

static int rename_carefully(const char *source, const char *target, bool overwrite) {
    struct stat at;
    if (overwrite) return rename(source, target);
    int result = (int)syscall(SYS_renameat2, AT_FDCWD, source, AT_FDCWD, target, NO_REPLACE);
    if (result == 0 || (errno != ENOSYS && errno != EINVAL)) return result;
    if (lstat(target, &at) == 0) {
        errno = EEXIST;
        return -1;
    }
    return rename(source, target);
}

bool files_move(struct job *job) {
    char source[JOB_PATH_MAX], target[JOB_PATH_MAX];
    struct stat at;
    if (!job_path(job, source) || !job_path(job, target)) return false;
    bool overwrite = get_u8(&job->request);
    uid_t uid;
    gid_t gid;
    if (!get_last_owner(job, &uid, &gid)) return false;
    if (lstat(source, &at) < 0) return job_fail_path(job, errno, source);
    if (!make_parents(job, target, uid, gid)) return false;
    if (rename_carefully(source, target, overwrite) == 0) return reply_info(job, target, false);
    if (errno == EINVAL) return job_fail(job, ERROR_INVALID, EINVAL, "cannot move %s into itself", source);
    if (errno != EXDEV) return job_fail_path(job, errno, errno == ENOENT ? source : target);
    return copy_tree(job, source, target) && remove_below(job, AT_FDCWD, source, source, 0) &&
           reply_info(job, target, false);
}

/* ---- attributes ---- */

bool files_chmod(struct job *job) {
    char path[JOB_PATH_MAX];
    if (!job_path(job, path)) return false;
    uint32_t mode = get_u32(&job->request);
    if (job->request.bad) return job_fail_malformed(job);
    return chmod(path, mode & 07777) == 0 ? reply_info(job, path, true) : job_fail_path(job, errno, path);
}

bool files_chown(struct job *job) {
    char path[JOB_PATH_MAX];
    uid_t uid;
    gid_t gid;
    if (!job_path(job, path) || !get_owner(job, &uid, &gid)) return false;
    return chown(path, uid, gid) == 0 ? reply_info(job, path, true) : job_fail_path(job, errno, path);
}
