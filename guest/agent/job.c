#include "job.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    SLOT_SIZE = FRAME_HEADER + FRAME_MAX,
    SLOTS_EACH = 2,   /* one is sent while the other is filled */
    SLOTS_KEPT = 8,   /* fresh memory is dear in gVisor */
    IDLE_KEPT = 2,    /* threads that wait for work */
    STACK = 512 * 1024,
    INPUT_WINDOW = 1024 * 1024,
    LARGE_PIECE = 32 * 1024,
};

static const unsigned limits[JOB_CLASSES] = {[JOB_SHORT] = 16, [JOB_DOWNLOAD] = 64, [JOB_UPLOAD] = 64, [JOB_WATCH] = 64};

struct slot {
    struct chunk chunk;
    struct job *job; /* NULL once the job is gone */
    struct slot *next;
    uint8_t data[SLOT_SIZE];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static struct job *queues[JOB_CLASSES], **queue_tails[JOB_CLASSES];
static unsigned running[JOB_CLASSES], threads, idle;
static struct job *noticed; /* jobs that the loop must look at */
static struct slot *spare_slots;
static unsigned spare_count;
static struct source bell;

/* ---- shared memory of slots; the lock is held ---- */

static struct slot *take_slot(void) {
    struct slot *slot = spare_slots;
    if (slot) {
        spare_slots = slot->next;
        spare_count--;
        return slot;
    }
    return malloc(sizeof *slot);
}

static void give_slot(struct slot *slot) {
    if (spare_count >= SLOTS_KEPT) {
        free(slot);
        return;
    }
    slot->next = spare_slots;
    spare_slots = slot;
    spare_count++;
}

/* ---- the worker's side ---- */

static void ring_bell(struct job *job) {
    if (job->noticed) return;
    job->noticed = true;
    job->next_noticed = noticed;
    bool first = noticed == NULL;
    noticed = job;
    uint64_t one = 1;
    if (first && write(bell.fd, &one, sizeof one) < 0) return; /* full: it rings already */
}

bool job_cancelled(struct job *job) {
    pthread_mutex_lock(&lock);
    bool cancelled = job->cancelled;
    pthread_mutex_unlock(&lock);
    return cancelled;
}

bool job_fail(struct job *job, enum error_code code, int number, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(job->message, sizeof job->message, format, arguments);
    va_end(arguments);
    job->code = code;
    job->number = number;
    return false;
}

bool job_fail_path(struct job *job, int number, const char *path) {
    const char *reason = strerror(number);
    switch (number) {
    case ENOENT: reason = "no such file or directory"; break;
    case EACCES: case EPERM: reason = "permission denied"; break;
    case EEXIST: reason = "it exists already"; break;
    case ENOTEMPTY: reason = "the directory is not empty"; break;
    case ENOSPC: case EDQUOT: reason = "the sandbox's disk is full"; break;
    case EISDIR: reason = "it is a directory"; break;
    case ENOTDIR: reason = "not a directory"; break;
    case EROFS: reason = "it cannot be changed (read-only)"; break;
    case EBUSY: reason = "it is in use"; break;
    }
    if ((number == EACCES || number == EPERM) && job->user.uid != 0)
        return job_fail(job, error_of(number), number, "%s for user %s: %.800s", reason, job->user.name, path);
    return job_fail(job, error_of(number), number, "%s: %.800s", reason, path);
}

bool job_fail_malformed(struct job *job) {
    return job_fail(job, ERROR_INVALID, EINVAL, "malformed request, or a path with a NUL byte in it");
}

bool job_path(struct job *job, char path[JOB_PATH_MAX]) {
    const char *given = get_text(&job->request);
    if (job->request.bad) return job_fail_malformed(job);
    if (!*given) return job_fail(job, ERROR_INVALID, EINVAL, "an empty path names nothing");
    if (*given != '/' && !*job->user.home) user_find("root", &job->user);
    int length = *given == '/' ? snprintf(path, JOB_PATH_MAX, "%s", given)
                               : snprintf(path, JOB_PATH_MAX, "%s/%s", job->user.home, given);
    if (length >= JOB_PATH_MAX) return job_fail(job, ERROR_INVALID, ENAMETOOLONG, "the path is too long");
    while (length > 1 && path[length - 1] == '/') path[--length] = 0;
    return true;
}

/* The lock is held. Waits for a slot with `size` bytes to spare. */
static uint8_t *slot_room(struct job *job, size_t size) {
    if (job->slot && SLOT_SIZE - job->slot->chunk.length < size) {
        job->slot->next = NULL;
        if (job->ready_last) job->ready_last->next = job->slot;
        else job->ready_first = job->slot;
        job->ready_last = job->slot;
        job->slot = NULL;
        ring_bell(job);
    }
    while (!job->slot) {
        if (job->cancelled) return NULL;
        if (job->slots < SLOTS_EACH) {
            job->slot = take_slot();
            if (!job->slot) return NULL;
            job->slots++;
            job->slot->job = job;
            job->slot->chunk = (struct chunk){.capacity = SLOT_SIZE, .data = job->slot->data};
        } else {
            pthread_cond_wait(&job->changed, &lock);
        }
    }
    return job->cancelled ? NULL : job->slot->data + job->slot->chunk.length;
}

bool job_flush(struct job *job) {
    pthread_mutex_lock(&lock);
    bool going = job->slot && job->slot->chunk.length ? slot_room(job, SLOT_SIZE + 1) != NULL : !job->cancelled;
    pthread_mutex_unlock(&lock);
    return going;
}

/* The lock is held. What has been gathered must go before waiting, or host and guest wait for each other. */
static bool wait_for_credit(struct job *job, uint32_t cost) {
    while (job->credit < cost) {
        if (job->cancelled) return false;
        if (job->slot && job->slot->chunk.length) {
            if (!slot_room(job, SLOT_SIZE + 1)) return false;
            continue;
        }
        pthread_cond_wait(&job->changed, &lock);
    }
    return !job->cancelled;
}

static bool put_frame(struct job *job, uint8_t type, const void *payload, size_t length, uint32_t cost) {
    pthread_mutex_lock(&lock);
    uint8_t *at = wait_for_credit(job, cost) ? slot_room(job, FRAME_HEADER + length) : NULL;
    if (at) {
        job->credit -= cost;
        header_put(at, type, 0, job->channel.id, (uint32_t)length);
        if (length) memcpy(at + FRAME_HEADER, payload, length);
        job->slot->chunk.length += FRAME_HEADER + length;
    }
    pthread_mutex_unlock(&lock);
    return at != NULL;
}

bool job_control(struct job *job, uint8_t type, const void *payload, size_t length) {
    return put_frame(job, type, payload, length, 0);
}

bool job_emit(struct job *job, uint8_t type, const void *payload, size_t length) {
    return put_frame(job, type, payload, length, charge(length));
}

ssize_t job_emit_file(struct job *job, int fd, uint64_t limit) {
    pthread_mutex_lock(&lock);
    size_t most = limit < FRAME_MAX ? (size_t)limit : FRAME_MAX;
    uint8_t *at = NULL;
    if (wait_for_credit(job, MINIMUM_CHARGE)) {
        if (job->credit < most) most = job->credit;
        at = slot_room(job, FRAME_HEADER + most);
    }
    pthread_mutex_unlock(&lock);
    if (!at) {
        errno = ECANCELED;
        return -1;
    }
    ssize_t got = read(fd, at + FRAME_HEADER, most);
    if (got <= 0) return got;
    header_put(at, FRAME_DATA, 0, job->channel.id, (uint32_t)got);
    pthread_mutex_lock(&lock);
    job->credit -= charge((size_t)got);
    job->slot->chunk.length += FRAME_HEADER + (size_t)got;
    pthread_mutex_unlock(&lock);
    return got;
}

struct piece *job_take(struct job *job) {
    pthread_mutex_lock(&lock);
    while (!job->input && !job->input_ended && !job->cancelled) pthread_cond_wait(&job->changed, &lock);
    struct piece *piece = job->cancelled ? NULL : job->input;
    if (piece) {
        job->input = piece->next;
        if (!job->input) job->input_tail = &job->input;
    }
    pthread_mutex_unlock(&lock);
    return piece;
}

bool job_input_whole(struct job *job) {
    if (job_cancelled(job)) return false;
    return !job->input_lost || job_fail(job, ERROR_LIMIT, ENOMEM, "the agent is out of memory");
}

static void free_piece(struct piece *piece) {
    if (piece->length > LARGE_PIECE) give_slot(container_of(piece->data, struct slot, data));
    free(piece);
}

void job_done_with(struct job *job, struct piece *piece) {
    pthread_mutex_lock(&lock);
    job->consumed += charge(piece->length);
    if (job->consumed >= INPUT_WINDOW / 4) ring_bell(job);
    free_piece(piece);
    pthread_mutex_unlock(&lock);
}

unsigned job_take_all(struct job *job) {
    unsigned count = 0;
    pthread_mutex_lock(&lock);
    for (struct piece *piece; (piece = job->input); count++) {
        job->input = piece->next;
        job->consumed += charge(piece->length);
        free_piece(piece);
    }
    job->input_tail = &job->input;
    if (count) ring_bell(job);
    pthread_mutex_unlock(&lock);
    return count;
}

/* The lock is held. */
static struct job *next_job(void) {
    for (int class = 0; class < JOB_CLASSES; class ++) {
        struct job *job = queues[class];
        if (!job || running[class] >= limits[class]) continue;
        queues[class] = job->next;
        if (!queues[class]) queue_tails[class] = &queues[class];
        running[class]++;
        return job;
    }
    return NULL;
}

static void run_job(struct job *job) {
    bool root = job->user.uid == 0 && job->user.gid == 0;
    if (job_cancelled(job)) {
        job_fail(job, ERROR_CANCELLED, ECANCELED, "cancelled");
    } else if (!root && !user_become(&job->user)) {
        job_fail(job, error_of(errno), errno, "cannot act as user %s: %s", job->user.name, strerror(errno));
    } else if (!job->run(job) && !job->code) {
        job_fail(job, ERROR_CANCELLED, ECANCELED, "cancelled");
    }
    if (!root) user_become_root();
}

static void *worker(void *unused) {
    (void)unused;
    pthread_mutex_lock(&lock);
    for (;;) {
        struct job *job = next_job();
        if (!job) {
            if (idle >= IDLE_KEPT) break;
            idle++;
            pthread_cond_wait(&work, &lock);
            idle--;
            continue;
        }
        pthread_mutex_unlock(&lock);
        run_job(job);
        pthread_mutex_lock(&lock);
        running[job->class]--;
        job->done = true;
        ring_bell(job);
    }
    threads--;
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* ---- the loop's side ---- */

static void slot_sent(struct chunk *chunk) {
    struct slot *slot = container_of(chunk, struct slot, chunk);
    pthread_mutex_lock(&lock);
    if (slot->job) {
        struct slot **at = &slot->job->in_flight;
        while (*at != slot) at = &(*at)->next;
        *at = slot->next;
        slot->job->slots--;
        pthread_cond_signal(&slot->job->changed);
    }
    give_slot(slot);
    pthread_mutex_unlock(&lock);
}

/* The lock is held. */
static void forget_notice(struct job *job) {
    struct job **at = &noticed;
    while (*at && *at != job) at = &(*at)->next_noticed;
    if (*at) *at = job->next_noticed;
    job->noticed = false;
}

/* The lock is held. */
static void destroy(struct job *job) {
    if (job->noticed) forget_notice(job);
    while (job->ready_first) {
        struct slot *slot = job->ready_first;
        job->ready_first = slot->next;
        give_slot(slot);
    }
    if (job->slot) give_slot(job->slot);
    for (struct slot *slot = job->in_flight; slot; slot = slot->next) slot->job = NULL;
    while (job->input) {
        struct piece *piece = job->input;
        job->input = piece->next;
        free_piece(piece);
    }
    if (job->wake_fd >= 0) close(job->wake_fd);
    pthread_cond_destroy(&job->changed);
    free(job->request_memory);
    loop_free(job);
}

/* The lock is held. True when nothing is left to be sent. */
static bool send_ready(struct job *job) {
    if (job->done && job->slot && job->slot->chunk.length) {
        job->slot->next = NULL;
        if (job->ready_last) job->ready_last->next = job->slot;
        else job->ready_first = job->slot;
        job->ready_last = job->slot;
        job->slot = NULL;
    }
    while (job->ready_first && channel_has_room(&job->channel)) {
        struct slot *slot = job->ready_first;
        job->ready_first = slot->next;
        if (!job->ready_first) job->ready_last = NULL;
        slot->next = job->in_flight;
        job->in_flight = slot;
        slot->chunk.release = slot_sent;
        pthread_mutex_unlock(&lock);
        channel_send_chunk(&job->channel, &slot->chunk);
        pthread_mutex_lock(&lock);
    }
    return !job->ready_first;
}

static void attend(struct job *job) {
    pthread_mutex_lock(&lock);
    if (job->cancelled) {
        if (job->done) destroy(job);
        pthread_mutex_unlock(&lock);
        return;
    }
    bool over = send_ready(job) && job->done;
    uint32_t grant = job->consumed;
    job->consumed = 0;
    pthread_mutex_unlock(&lock);
    if (!over) {
        if (grant) channel_grant(&job->channel, grant);
        return;
    }
    if (job->code) channel_fail(&job->channel, job->code, job->number, "%s", job->message);
    else channel_finish(&job->channel, job->reply_memory, job->reply.length);
    pthread_mutex_lock(&lock);
    destroy(job);
    pthread_mutex_unlock(&lock);
}

static void on_bell(struct source *source, uint32_t events) {
    (void)events;
    uint64_t rings;
    if (read(source->fd, &rings, sizeof rings) < 0) return;
    for (;;) {
        pthread_mutex_lock(&lock);
        struct job *job = noticed;
        if (job) forget_notice(job);
        pthread_mutex_unlock(&lock);
        if (!job) return;
        attend(job);
    }
}

/* The lock is held. */
static void wake(struct job *job) {
    uint64_t one = 1;
    if (job->wake_fd >= 0 && write(job->wake_fd, &one, sizeof one) < 0) abort(); /* it counts so far */
}

static void job_receive(struct channel *channel, uint8_t type, uint8_t *payload, size_t length) {
    struct job *job = container_of(channel, struct job, channel);
    pthread_mutex_lock(&lock);
    struct piece *piece = type == FRAME_END ? NULL : malloc(sizeof *piece + (length > LARGE_PIECE ? 0 : length));
    struct slot *slot = piece && length > LARGE_PIECE ? take_slot() : NULL;
    if (piece && (length <= LARGE_PIECE || slot)) {
        *piece = (struct piece){.type = type, .length = length, .data = slot ? slot->data : (uint8_t *)(piece + 1)};
        memcpy(piece->data, payload, length);
        *job->input_tail = piece;
        job->input_tail = &piece->next;
    } else {
        free(piece);
        job->input_ended = true;
        job->input_lost = type != FRAME_END;
    }
    pthread_cond_signal(&job->changed);
    wake(job);
    pthread_mutex_unlock(&lock);
}

static void job_proceed(struct channel *channel) {
    struct job *job = container_of(channel, struct job, channel);
    pthread_mutex_lock(&lock);
    if (channel->send_credit) {
        job->credit += channel->send_credit;
        channel->send_credit = 0;
        pthread_cond_signal(&job->changed);
    }
    bool look = job->ready_first || job->done;
    pthread_mutex_unlock(&lock);
    if (look) attend(job);
}

static void job_closed(struct channel *channel) {
    struct job *job = container_of(channel, struct job, channel);
    pthread_mutex_lock(&lock);
    job->cancelled = true;
    wake(job);
    pthread_cond_signal(&job->changed);
    if (job->done) destroy(job);
    pthread_mutex_unlock(&lock);
}

static const struct channel_operations job_operations = {job_receive, job_proceed, job_closed};

/* The lock is held. */
static void start_thread(void) {
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* SIGCHLD is the loop's */
    if (pthread_create(&thread, &attributes, worker, NULL) == 0) threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

static void enqueue(struct job *job) {
    pthread_mutex_lock(&lock);
    *queue_tails[job->class] = job;
    queue_tails[job->class] = &job->next;
    if (idle) pthread_cond_signal(&work);
    else if (running[job->class] < limits[job->class]) start_thread();
    pthread_mutex_unlock(&lock);
}

static struct job *new_job(struct request *request) {
    struct job *job = calloc(1, sizeof *job);
    uint8_t *copy = malloc(request->payload.left + 1);
    if (!job || !copy) {
        free(job);
        free(copy);
        request_fail(request, ERROR_LIMIT, ENOMEM, "the agent is out of memory");
        return NULL;
    }
    memcpy(copy, request->payload.at, request->payload.left);
    job->request_memory = copy;
    job->request = (struct cursor){.at = copy, .left = request->payload.left};
    job->reply = (struct writer){.data = job->reply_memory, .capacity = JOB_REPLY_MAX};
    job->input_tail = &job->input;
    job->wake_fd = -1;
    pthread_cond_init(&job->changed, NULL);
    return job;
}

static void discard(struct job *job) {
    if (job->wake_fd >= 0) close(job->wake_fd);
    pthread_cond_destroy(&job->changed);
    free(job->request_memory);
    free(job);
}

static bool is_full(enum job_class class) {
    pthread_mutex_lock(&lock);
    bool full = running[class] >= limits[class] || queues[class];
    pthread_mutex_unlock(&lock);
    return full;
}

void job_start(struct request *request, enum job_class class, bool (*run)(struct job *)) {
    struct job *job = new_job(request);
    if (!job) return;
    const char *user = get_text(&job->request);
    /* Root needs no looking up, and is whom nearly all calls are for. */
    bool known = !job->request.bad && (!*user || user_find(user, &job->user));
    if (!known) {
        request_fail(request, ERROR_INVALID, 0, "no such user: %s", user);
    } else if (class == JOB_WATCH && is_full(JOB_WATCH)) {
        known = false;
        request_fail(request, ERROR_LIMIT, 0, "more than %u watches at once", limits[JOB_WATCH]);
    } else if (class == JOB_WATCH) {
        job->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    if (!known || !channel_open(&job->channel, request, &job_operations)) {
        discard(job);
        return;
    }
    job->run = run;
    job->class = class;
    job->credit = job->channel.send_credit;
    job->channel.send_credit = 0;
    if (class == JOB_UPLOAD) channel_grant(&job->channel, INPUT_WINDOW - INITIAL_CREDIT);
    enqueue(job);
}

bool jobs_at_work(void) {
    bool found = false;
    pthread_mutex_lock(&lock);
    for (int class = 0; class < JOB_CLASSES; class ++)
        if (class != JOB_WATCH) found |= running[class] || queues[class];
    pthread_mutex_unlock(&lock);
    return found;
}

void jobs_open(void) {
    for (int class = 0; class < JOB_CLASSES; class ++) queue_tails[class] = &queues[class];
    pthread_mutex_lock(&lock);
    start_thread(); /* one there always is: at the limit of processes none could be made */
    pthread_mutex_unlock(&lock);
    loop_add(&bell, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), EPOLLIN, on_bell);
}
