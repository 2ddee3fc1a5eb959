#include "tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"

enum { OWNER_KEPT = 0xFFFFFFFF, ENTRY_MAX = 2 * JOB_PATH_MAX + 64 };
#define TIME_KEPT INT64_MIN

/* ---- out ---- */

struct reading {
    struct job *job;
    uint32_t count;
    size_t root; /* length of the path of the folder itself */
    char path[JOB_PATH_MAX];
};

static bool send_entry(struct reading *reading, const struct stat *at) {
    uint8_t payload[ENTRY_MAX];
    char target[JOB_PATH_MAX] = "";
    if (S_ISLNK(at->st_mode)) {
        ssize_t length = readlink(reading->path, target, sizeof target - 1);
        if (length < 0) return true; /* gone meanwhile */
        target[length] = 0;
    }
    const char *below = reading->path + reading->root;
    struct writer writer = {.data = payload, .capacity = sizeof payload};
    put_u8(&writer, (uint8_t)file_kind(at->st_mode));
    put_u32(&writer, at->st_mode & 07777);
    put_u64(&writer, S_ISREG(at->st_mode) ? (uint64_t)at->st_size : 0);
    put_u32(&writer, at->st_uid);
    put_u32(&writer, at->st_gid);
    put_u64(&writer, (uint64_t)file_time(at));
    put_text(&writer, *below == '/' ? below + 1 : below);
    put_text(&writer, target);
    reading->count++;
    return job_emit(reading->job, FRAME_ENTRY, payload, writer.length);
}

/* Exactly `left` bytes: a file that shrinks meanwhile ends in zeros, one that grows is cut. */
static bool send_content(struct reading *reading, int fd, uint64_t left) {
    static const uint8_t zeros[16 * 1024];
    bool padding = false;
    while (left) {
        size_t size = left < sizeof zeros ? (size_t)left : sizeof zeros;
        ssize_t got = padding ? 0 : job_emit_file(reading->job, fd, left);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno == ECANCELED) return false;
        if (got < 0) return job_fail_path(reading->job, errno, reading->path);
        if (got == 0) {
            padding = true;
            if (!job_emit(reading->job, FRAME_DATA, zeros, size)) return false;
            got = (ssize_t)size;
        }
        left -= (uint64_t)got;
    }
    return true;
}

static bool read_file(struct reading *reading) {
    struct stat at;
    int fd = open(reading->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT || job_fail_path(reading->job, errno, reading->path);
    bool good = fstat(fd, &at) < 0 || !S_ISREG(at.st_mode) ||
                (send_entry(reading, &at) && send_content(reading, fd, (uint64_t)at.st_size));
    close(fd);
    return good;
}

static bool read_any(struct reading *reading, unsigned depth);

static bool read_folder(struct reading *reading, const struct stat *at, unsigned depth) {
    if (depth >= DEPTH_MAX)
        return job_fail(reading->job, ERROR_LIMIT, 0, "more than %d folders deep: %s", DEPTH_MAX, reading->path);
    DIR *entries = opendir(reading->path);
    if (!entries) return (depth && errno == ENOENT) || job_fail_path(reading->job, errno, reading->path);
    bool good = send_entry(reading, at);
    size_t length = strlen(reading->path);
    struct dirent *entry;
    while (good && (entry = readdir(entries))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (length + strlen(entry->d_name) + 2 > JOB_PATH_MAX) {
            good = job_fail_path(reading->job, ENAMETOOLONG, reading->path);
            break;
        }
        const char *between = reading->path[length - 1] == '/' ? "" : "/";
        snprintf(reading->path + length, JOB_PATH_MAX - length, "%s%s", between, entry->d_name);
        good = read_any(reading, depth + 1);
        reading->path[length] = 0;
    }
    closedir(entries);
    return good;
}

static bool read_any(struct reading *reading, unsigned depth) {
    struct stat at;
    if (job_cancelled(reading->job)) return false;
    /* The folder asked for may be a link to one; below it links stay links. */
    if (fstatat(AT_FDCWD, reading->path, &at, depth ? AT_SYMLINK_NOFOLLOW : 0) < 0)
        return (depth && errno == ENOENT) || job_fail_path(reading->job, errno, reading->path);
    switch (file_kind(at.st_mode)) {
    case KIND_FILE: return read_file(reading);
    case KIND_DIRECTORY: return read_folder(reading, &at, depth);
    case KIND_SYMLINK: return send_entry(reading, &at);
    default: return true; /* sockets and devices mean nothing elsewhere */
    }
}

bool tree_read(struct job *job) {
    struct reading *reading = malloc(sizeof *reading);
    if (!reading) return job_fail(job, ERROR_LIMIT, ENOMEM, "the agent is out of memory");
    reading->job = job;
    reading->count = 0;
    bool good = job_path(job, reading->path);
    if (good) {
        reading->root = strlen(reading->path);
        good = job_control(job, FRAME_REPLY, NULL, 0) && read_any(reading, 0);
        put_u32(&job->reply, reading->count);
    }
    free(reading);
    return good;
}

/* ---- in ---- */

struct entry {
    uint8_t kind;
    uint32_t mode, uid, gid;
    uint64_t left; /* bytes of a file still to come */
    int64_t time;
    char path[JOB_PATH_MAX], target[JOB_PATH_MAX];
};

struct writing {
    struct job *job;
    uint32_t count;
    char root[JOB_PATH_MAX];
    bool open; /* `file` is being written */
    struct replacement file;
    struct entry entry;
};

/* A folder's own mode may forbid writing into it, so it waits until the folder is full. */
struct folder {
    struct folder *next;
    uint32_t mode;
    int64_t time;
    char path[];
};

static bool climbs(const char *path) {
    for (const char *at = path; at; at = strchr(at, '/')) {
        if (*at == '/') at++;
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == 0)) return true;
    }
    return false;
}

static bool parse_entry(struct writing *writing, struct piece *piece) {
    struct entry *entry = &writing->entry;
    struct cursor cursor = {.at = piece->data, .left = piece->length};
    entry->kind = get_u8(&cursor);
    entry->mode = get_u32(&cursor);
    entry->left = get_u64(&cursor);
    entry->uid = get_u32(&cursor);
    entry->gid = get_u32(&cursor);
    entry->time = (int64_t)get_u64(&cursor);
    const char *path = get_text(&cursor), *target = get_text(&cursor);
    if (cursor.bad || strlen(target) >= JOB_PATH_MAX) return job_fail_malformed(writing->job);
    if (*path == '/' || climbs(path))
        return job_fail(writing->job, ERROR_INVALID, EINVAL, "not a path inside the folder: %.800s", path);
    if (snprintf(entry->path, JOB_PATH_MAX, "%s%s%s", writing->root, *path ? "/" : "", path) >= JOB_PATH_MAX)
        return job_fail(writing->job, ERROR_INVALID, ENAMETOOLONG, "the path is too long: %.800s", path);
    strcpy(entry->target, target);
    if (entry->kind != KIND_FILE) entry->left = 0;
    return true;
}

static void set_time(int fd, const char *path, int64_t time) {
    if (time == TIME_KEPT) return;
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {time / 1000000000, time % 1000000000}};
    if (times[1].tv_nsec < 0) {
        times[1].tv_sec--;
        times[1].tv_nsec += 1000000000;
    }
    if (fd >= 0) futimens(fd, times);
    else utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
}

static bool has_owner(const struct entry *entry) { return entry->uid != OWNER_KEPT || entry->gid != OWNER_KEPT; }

static bool close_file(struct writing *writing) {
    struct entry *entry = &writing->entry;
    if (!writing->open) return true;
    writing->open = false;
    if (entry->left) {
        replacement_abandon(&writing->file);
        return job_fail(writing->job, ERROR_INVALID, 0, "%llu bytes are missing of %s", (unsigned long long)entry->left,
                        entry->path);
    }
    int fd = writing->file.fd;
    bool good = !has_owner(entry) || fchown(fd, entry->uid, entry->gid) == 0 ||
                job_fail_path(writing->job, errno, entry->path);
    if (good && fchmod(fd, entry->mode & 07777) < 0) good = job_fail_path(writing->job, errno, entry->path);
    if (good) set_time(fd, NULL, entry->time);
    good = good && replacement_commit(writing->job, &writing->file);
    replacement_abandon(&writing->file);
    return good;
}

static bool begin_file(struct writing *writing) {
    writing->open = replacement_open(writing->job, writing->entry.path, false, &writing->file);
    return writing->open && (writing->entry.left || close_file(writing));
}

static bool make_link(struct writing *writing) {
    struct entry *entry = &writing->entry;
    if (symlink(entry->target, entry->path) < 0 &&
        (errno != EEXIST || unlink(entry->path) < 0 || symlink(entry->target, entry->path) < 0))
        return job_fail_path(writing->job, errno, entry->path);
    if (has_owner(entry)) lchown(entry->path, entry->uid, entry->gid);
    set_time(-1, entry->path, entry->time);
    return true;
}

static bool make_folder(struct writing *writing, struct folder **folders) {
    struct entry *entry = &writing->entry;
    struct stat at;
    bool made = mkdir(entry->path, 0700) == 0;
    if (!made && (errno != EEXIST || stat(entry->path, &at) < 0 || !S_ISDIR(at.st_mode)))
        return job_fail_path(writing->job, errno, entry->path);
    if (has_owner(entry) && chown(entry->path, entry->uid, entry->gid) < 0)
        return job_fail_path(writing->job, errno, entry->path);
    if (!made && entry->path[strlen(writing->root)] == 0) return true; /* the target keeps its own mode */
    struct folder *folder = malloc(sizeof *folder + strlen(entry->path) + 1);
    if (!folder) return job_fail_path(writing->job, ENOMEM, entry->path);
    *folder = (struct folder){*folders, entry->mode, entry->time};
    strcpy(folder->path, entry->path);
    *folders = folder;
    return true;
}

static bool begin(struct writing *writing, struct piece *piece, struct folder **folders) {
    if (!close_file(writing) || !parse_entry(writing, piece)) return false;
    struct entry *entry = &writing->entry;
    bool is_root = entry->path[strlen(writing->root)] == 0;
    if (++writing->count > ENTRIES_MAX)
        return job_fail(writing->job, ERROR_LIMIT, 0, "more than %d entries at once", ENTRIES_MAX);
    if (!is_root && !make_parents(writing->job, entry->path, entry->uid, entry->gid)) return false;
    switch (entry->kind) {
    case KIND_FILE: return is_root ? job_fail_path(writing->job, EISDIR, entry->path) : begin_file(writing);
    case KIND_SYMLINK: return is_root ? job_fail_path(writing->job, EISDIR, entry->path) : make_link(writing);
    case KIND_DIRECTORY: return make_folder(writing, folders);
    default: return job_fail(writing->job, ERROR_INVALID, 0, "not a file, folder or link: %s", entry->path);
    }
}

static bool write_data(struct writing *writing, struct piece *piece) {
    if (!writing->open || piece->length > writing->entry.left)
        return job_fail(writing->job, ERROR_INVALID, 0, "data beyond the size of %s", writing->entry.path);
    writing->entry.left -= piece->length;
    return replacement_write(writing->job, &writing->file, piece->data, piece->length) &&
           (writing->entry.left || close_file(writing));
}

static void finish_folders(struct folder *folders) {
    while (folders) { /* innermost first */
        struct folder *folder = folders;
        folders = folder->next;
        chmod(folder->path, folder->mode & 07777);
        set_time(-1, folder->path, folder->time);
        free(folder);
    }
}

bool tree_write(struct job *job) {
    struct writing *writing = calloc(1, sizeof *writing);
    if (!writing) return job_fail(job, ERROR_LIMIT, ENOMEM, "the agent is out of memory");
    writing->job = job;
    struct folder *folders = NULL;
    bool good = job_path(job, writing->root) && make_parents(job, writing->root, (uid_t)-1, (gid_t)-1);
    if (good && mkdir(writing->root, 0755) < 0 && errno != EEXIST) good = job_fail_path(job, errno, writing->root);
    if (strcmp(writing->root, "/") == 0) writing->root[0] = 0;
    for (struct piece *piece; good && (piece = job_take(job));) {
        good = piece->type == FRAME_ENTRY ? begin(writing, piece, &folders) : write_data(writing, piece);
        job_done_with(job, piece);
    }
    good = good && job_input_whole(job) && close_file(writing);
    if (writing->open) replacement_abandon(&writing->file);
    finish_folders(folders);
    put_u32(&job->reply, writing->count);
    free(writing);
    return good;
}
