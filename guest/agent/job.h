/* Calls that may block (on disks, FUSE, big folders, a slow reader) run in worker threads, so that the loop never
 * waits. A job is written as plain blocking code, with the file permissions of its user. */
#pragma once
#include <pthread.h>
#include <sys/types.h>

#include "conn.h"
#include "user.h"

enum { JOB_REPLY_MAX = 12 * 1024, JOB_PATH_MAX = 4096 };

struct job;

enum job_class {
    JOB_SHORT,  /* one answer */
    JOB_DOWNLOAD, /* held up by its reader */
    JOB_UPLOAD, /* held up by its writer */
    JOB_WATCH,  /* stays until cancelled */
    JOB_CLASSES,
};

struct piece {
    struct piece *next;
    uint8_t type;
    size_t length;
    uint8_t *data;
};

struct job {
    struct channel channel;
    struct user user;
    struct cursor request; /* the worker's own copy */
    struct writer reply;   /* the payload of the final REPLY */
    int wake_fd;           /* counts frames of the host, and the cancel, where a job asked for it; else -1 */

    /* The rest is job.c's. */
    bool (*run)(struct job *);
    enum job_class class;
    struct job *next, *next_noticed;
    pthread_cond_t changed;
    bool cancelled, done, noticed;
    uint32_t credit;
    struct slot *slot;                    /* being filled by the worker */
    struct slot *ready_first, *ready_last; /* filled, not yet in the connection's queue */
    struct slot *in_flight;
    unsigned slots;
    struct piece *input, **input_tail;
    bool input_ended, input_lost;
    uint32_t consumed;
    enum error_code code;
    int number;
    char message[1024];
    uint8_t *request_memory;
    uint8_t reply_memory[JOB_REPLY_MAX];
};

void jobs_open(void);
/* Whether any is at work or waits for its turn, those too that were cancelled and have not noticed yet. Watches only
 * wait: whether somebody waits for them the host knows. */
bool jobs_at_work(void);
/* Starts `run` with the request's payload after its first text field, which names the user. */
void job_start(struct request *request, enum job_class class, bool (*run)(struct job *));

/* ---- for `run`, in the worker. Those that return bool say false when the job was cancelled. ---- */

bool job_cancelled(struct job *);
/* Always false, so that `return job_fail(...)` reads well. */
bool job_fail(struct job *, enum error_code, int number, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* The usual words for what went wrong with a path. */
bool job_fail_path(struct job *, int number, const char *path);
/* The next path of the request, absolute: what is relative starts at the user's home. False after job_fail. */
bool job_path(struct job *, char path[JOB_PATH_MAX]);
bool job_fail_malformed(struct job *);

/* An uncharged frame, in order with the others. */
bool job_control(struct job *, uint8_t type, const void *payload, size_t length);
/* A charged frame of at most 32 KiB; waits for credit. */
bool job_emit(struct job *, uint8_t type, const void *payload, size_t length);
/* DATA of at most `limit` bytes straight from a file. 0 at its end, -1 with errno set (ECANCELED: cancelled). */
ssize_t job_emit_file(struct job *, int fd, uint64_t limit);
bool job_flush(struct job *);

/* The next DATA or ENTRY of the host; give it back with job_done_with. NULL when no more comes: then
 * job_input_whole says whether that was the end. */
struct piece *job_take(struct job *);
void job_done_with(struct job *, struct piece *);
/* Gives back what waits to be taken, without waiting; how many there were. */
unsigned job_take_all(struct job *);
bool job_input_whole(struct job *);
