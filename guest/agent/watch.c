#include "watch.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"

enum { FOLDERS_MAX = 8192, WATCH_DEPTH_MAX = 128 };
enum event_kind { EVENT_CREATE = 1, EVENT_WRITE, EVENT_REMOVE, EVENT_RENAME, EVENT_CHMOD, EVENT_OVERFLOW, EVENT_MARK };
enum { RENAMES_KEPT = 8 };

static const uint32_t interest =
    IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_MODIFY | IN_ATTRIB | IN_DONT_FOLLOW | IN_EXCL_UNLINK;

struct folder {
    int descriptor;
    char *path;
};

struct watch {
    struct job *job;
    int inotify, root;
    bool recursive, over;
    struct folder *folders;
    size_t count, capacity;
    enum event_kind last_kind; /* a burst of writes to one file is one event */
    char last_path[JOB_PATH_MAX];
    struct {
        uint32_t cookie;
        unsigned flags;
    } renames[RENAMES_KEPT]; /* of files of our own writing, which are about to get their names */
    unsigned renamed;
};

static bool tell(struct watch *watch, enum event_kind kind, bool is_directory, const char *path) {
    if (kind == EVENT_WRITE && watch->last_kind == kind && strcmp(path, watch->last_path) == 0) return true;
    watch->last_kind = kind;
    snprintf(watch->last_path, sizeof watch->last_path, "%s", path);
    uint8_t payload[JOB_PATH_MAX + 16];
    struct writer writer = {.data = payload, .capacity = sizeof payload};
    put_u8(&writer, (uint8_t)kind);
    put_u8(&writer, is_directory);
    put_text(&writer, path);
    return job_emit(watch->job, FRAME_ENTRY, payload, writer.length);
}

static struct folder *find(struct watch *watch, int descriptor) {
    for (size_t i = 0; i < watch->count; i++)
        if (watch->folders[i].descriptor == descriptor) return &watch->folders[i];
    return NULL;
}

static void forget(struct watch *watch, struct folder *folder) {
    free(folder->path);
    *folder = watch->folders[--watch->count];
}

/* The watch on one folder or file; its descriptor, or -1 with errno set. */
static int add(struct watch *watch, const char *path, uint32_t mask) {
    if (watch->count >= FOLDERS_MAX) {
        errno = ENOSPC;
        return -1;
    }
    if (watch->count == watch->capacity) {
        size_t capacity = watch->capacity ? watch->capacity * 2 : 16;
        struct folder *grown = realloc(watch->folders, capacity * sizeof *grown);
        if (!grown) return -1;
        watch->folders = grown;
        watch->capacity = capacity;
    }
    int descriptor = inotify_add_watch(watch->inotify, path, mask);
    if (descriptor < 0) return -1;
    char *copy = strdup(path);
    if (!copy) return -1;
    struct folder *known = find(watch, descriptor); /* the same folder, under a new name */
    if (known) {
        free(known->path);
        known->path = copy;
    } else {
        watch->folders[watch->count++] = (struct folder){descriptor, copy};
    }
    return descriptor;
}

/* Watches what is below a folder that is watched itself. `announce`: it is new, and so is all in it. */
static bool add_below(struct watch *watch, char path[JOB_PATH_MAX], bool announce, unsigned depth) {
    DIR *entries = depth < WATCH_DEPTH_MAX ? opendir(path) : NULL;
    if (!entries) return true; /* gone meanwhile, or closed to this user */
    size_t length = strlen(path);
    bool good = true;
    struct dirent *entry;
    while (good && (entry = readdir(entries))) {
        struct stat at;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        if (length + strlen(entry->d_name) + 2 > JOB_PATH_MAX) continue;
        snprintf(path + length, JOB_PATH_MAX - length, "%s%s", path[length - 1] == '/' ? "" : "/", entry->d_name);
        bool is_directory = lstat(path, &at) == 0 && S_ISDIR(at.st_mode);
        if (announce) good = tell(watch, EVENT_CREATE, is_directory, path);
        if (good && is_directory && watch->recursive) {
            if (add(watch, path, interest) >= 0) good = add_below(watch, path, announce, depth + 1);
            else if (errno == ENOSPC && announce) good = tell(watch, EVENT_OVERFLOW, true, path);
            else if (errno == ENOSPC)
                good = job_fail(watch->job, ERROR_LIMIT, ENOSPC, "more than %d folders below one watch", FOLDERS_MAX);
        }
        path[length] = 0;
        good = good && !job_cancelled(watch->job);
    }
    closedir(entries);
    return good;
}

static void drop_below(struct watch *watch, const char *path) {
    size_t length = strlen(path);
    for (size_t i = watch->count; i-- > 0;) {
        struct folder *folder = &watch->folders[i];
        if (strncmp(folder->path, path, length) != 0) continue;
        if (folder->path[length] != 0 && folder->path[length] != '/') continue;
        inotify_rm_watch(watch->inotify, folder->descriptor);
        forget(watch, folder);
    }
}

static void remember_rename(struct watch *watch, const struct inotify_event *event) {
    unsigned at = watch->renamed++ % RENAMES_KEPT;
    watch->renames[at].cookie = event->cookie;
    watch->renames[at].flags = file_temporary_flags(event->name);
}

/* What our own writing did, as if it had been done in place. Sets `told` where the event was of it. */
static bool tell_written(struct watch *watch, const struct inotify_event *event, const char *path, bool *told) {
    *told = false;
    if (!(event->mask & IN_MOVED_TO) || !event->cookie) return true;
    for (unsigned i = 0; i < RENAMES_KEPT && !*told; i++) {
        if (watch->renames[i].cookie != event->cookie) continue;
        *told = true;
        watch->renames[i].cookie = 0;
        unsigned flags = watch->renames[i].flags;
        return ((flags & WRITTEN_OVER) || tell(watch, EVENT_CREATE, false, path)) &&
               (!(flags & WRITTEN_OWNED) || tell(watch, EVENT_CHMOD, false, path)) &&
               tell(watch, EVENT_WRITE, false, path);
    }
    return true;
}

static bool on_named(struct watch *watch, const struct inotify_event *event, char path[JOB_PATH_MAX]) {
    bool is_directory = event->mask & IN_ISDIR, told;
    if (!tell_written(watch, event, path, &told)) return false;
    if (told) return true;
    if (event->mask & (IN_CREATE | IN_MOVED_TO)) {
        if (!tell(watch, EVENT_CREATE, is_directory, path)) return false;
        if (!is_directory || !watch->recursive) return true;
        if (add(watch, path, interest) >= 0) return add_below(watch, path, true, 0);
        return errno != ENOSPC || tell(watch, EVENT_OVERFLOW, true, path);
    }
    if (event->mask & IN_MOVED_FROM) {
        if (is_directory && watch->recursive) drop_below(watch, path);
        return tell(watch, EVENT_RENAME, is_directory, path);
    }
    if (event->mask & IN_DELETE) return tell(watch, EVENT_REMOVE, is_directory, path);
    if (event->mask & IN_MODIFY) return tell(watch, EVENT_WRITE, is_directory, path);
    if (event->mask & IN_ATTRIB) return tell(watch, EVENT_CHMOD, is_directory, path);
    return true;
}

static bool on_root_itself(struct watch *watch, const struct inotify_event *event, const char *path) {
    bool is_directory = event->mask & IN_ISDIR;
    if (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF)) {
        watch->over = true;
        return tell(watch, event->mask & IN_MOVE_SELF ? EVENT_RENAME : EVENT_REMOVE, is_directory, path);
    }
    if (event->mask & IN_MODIFY) return tell(watch, EVENT_WRITE, is_directory, path);
    if (event->mask & IN_ATTRIB) {
        struct stat at; /* unlinking a file tells of its link count first */
        return lstat(path, &at) < 0 || tell(watch, EVENT_CHMOD, is_directory, path);
    }
    return true;
}

static bool on_event(struct watch *watch, const struct inotify_event *event) {
    char path[JOB_PATH_MAX];
    if (event->mask & IN_Q_OVERFLOW) return tell(watch, EVENT_OVERFLOW, true, find(watch, watch->root)->path);
    struct folder *folder = find(watch, event->wd);
    if (!folder) return true;
    if (event->mask & IN_IGNORED) {
        if (event->wd == watch->root) watch->over = true;
        else forget(watch, folder);
        return true;
    }
    if (event->len == 0) return event->wd != watch->root || on_root_itself(watch, event, folder->path);
    if (file_is_temporary(event->name)) {
        if (event->mask & IN_MOVED_FROM) remember_rename(watch, event);
        return true;
    }
    size_t length = strlen(folder->path);
    const char *between = folder->path[length - 1] == '/' ? "" : "/";
    int size = snprintf(path, sizeof path, "%s%s%s", folder->path, between, event->name);
    return size >= JOB_PATH_MAX || on_named(watch, event, path);
}

/* Tells of some of the events that wait, `bytes` of them. False when the job was cancelled. */
static bool tell_some(struct watch *watch, ssize_t *bytes) {
    _Alignas(struct inotify_event) char buffer[16 * 1024];
    ssize_t length = *bytes = read(watch->inotify, buffer, sizeof buffer);
    watch->last_kind = 0;
    for (char *at = buffer; length > 0 && at < buffer + length && !watch->over;) {
        const struct inotify_event *event = (const struct inotify_event *)at;
        if (!on_event(watch, event)) return false;
        at += sizeof *event + event->len;
    }
    return true;
}

/* The host asks to hear when all before now has been told. */
static bool answer_marks(struct watch *watch) {
    uint64_t count;
    int queued = 0;
    if (read(watch->job->wake_fd, &count, sizeof count) < 0) return true;
    unsigned marks = job_take_all(watch->job);
    if (ioctl(watch->inotify, FIONREAD, &queued) < 0) return job_fail(watch->job, error_of(errno), errno, "watch failed");
    for (ssize_t bytes = 1; queued > 0 && bytes > 0 && !watch->over; queued -= (int)bytes)
        if (!tell_some(watch, &bytes)) return false;
    for (; marks; marks--)
        if (!tell(watch, EVENT_MARK, false, "")) return false;
    return true;
}

static bool follow(struct watch *watch) {
    struct pollfd fds[2] = {{.fd = watch->inotify, .events = POLLIN}, {.fd = watch->job->wake_fd, .events = POLLIN}};
    while (!watch->over) {
        ssize_t bytes;
        if (poll(fds, 2, -1) < 0 && errno != EINTR) return job_fail(watch->job, error_of(errno), errno, "watch failed");
        if (fds[1].revents && (job_cancelled(watch->job) || !answer_marks(watch))) return false;
        if (!tell_some(watch, &bytes) || !job_flush(watch->job)) return false;
    }
    return true;
}

bool watch_run(struct job *job) {
    char path[JOB_PATH_MAX];
    if (!job_path(job, path)) return false;
    bool recursive = get_u8(&job->request);
    if (job->request.bad) return job_fail_malformed(job);
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch) return job_fail_path(job, ENOMEM, path);
    watch->job = job;
    watch->recursive = recursive;
    watch->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    bool good = watch->inotify >= 0 || job_fail_path(job, errno, path);
    if (good) {
        uint32_t mask = (interest & ~(uint32_t)IN_DONT_FOLLOW) | IN_DELETE_SELF | IN_MOVE_SELF;
        watch->root = add(watch, path, mask);
        good = watch->root >= 0 || job_fail_path(job, errno, path);
    }
    good = good && (!recursive || add_below(watch, path, false, 0)) && job_control(job, FRAME_REPLY, NULL, 0) &&
           job_flush(job) && follow(watch);
    if (watch->inotify >= 0) close(watch->inotify);
    while (watch->count) forget(watch, &watch->folders[watch->count - 1]);
    free(watch->folders);
    free(watch);
    return good;
}
