#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "launch.h"
#include "memory.h"
#include "proc.h"
#include "pty.h"
#include "ring.h"
#include "sudo.h"

enum {
    RUNNING_MAX = 1024,
    EXITED_MAX = 64,
    EXITED_BYTES_MAX = 16 * 1024 * 1024,
    KEEP_MAX = 8 * 1024 * 1024,
    READ_SIZE = 256 * 1024,
    ARGUMENTS_MAX = 8192,
    SUMMARY_MAX = 4096, /* bytes of the arguments that listings show */
    TAG_MAX = 256,
    STDIN_WAITING_MAX = 64, /* writes waiting for one process */
    LINGER_MS = 100,        /* for output that children still write when the process itself has ended */
    GRACE_MS = 2000,        /* between TERM and KILL after a timeout */
    LIST_BYTES = 128 * 1024,
    OUTPUT_HEAD = 9,
    PIPE_SIZE = 256 * 1024,
};

enum { SPAWN_TERMINAL = 1, SPAWN_STDIN = 2 };
enum { EXIT_TIMED_OUT = 1, EXIT_OOM = 2 };
enum { INFO_TERMINAL = 1, INFO_RUNNING = 2 };

struct process;

struct stream {
    struct source source;
    struct process *process;
    struct ring ring;
    bool ended; /* end of file */
    bool dry;   /* the last read found nothing */
};

struct reader {
    struct channel channel;
    struct process *process;
    uint64_t at[2];
    struct reader *next;
};

struct stdin_write {
    struct channel channel;
    struct process *process;
    struct stdin_write *next;
    bool last; /* closes the input once written */
    size_t length, done;
    uint8_t data[];
};

struct process {
    struct process *next;
    uint32_t id;
    pid_t pid;
    bool terminal, exited, sealed, lingered, timed_out, oom;
    int status;
    double started_at;
    char user[64], tag[TAG_MAX + 1];
    char *directory;
    struct writer summary; /* the arguments as text fields */
    uint32_t summary_count;
    struct stream streams[2];
    struct source input; /* of a terminal: a duplicate of its master */
    struct stdin_write *writes;
    struct reader *readers;
    struct timer linger, timeout, grace;
    struct prey *overdue; /* who was there when the timeout struck */
};

/* Output that outlives the listing of its process: a background child must not die of SIGPIPE. */
struct drain {
    struct source source;
};

static struct process *processes; /* oldest first */
static uint32_t last_id;
static unsigned running_count;
static uint8_t scratch[READ_SIZE];

static struct process *find(uint32_t id) {
    struct process *process = processes;
    while (process && process->id != id) process = process->next;
    return process;
}

static struct process *find_or_fail(struct request *request, uint32_t id) {
    struct process *process = find(id);
    if (!process) request_fail(request, ERROR_NOT_FOUND, ESRCH, "no such process: %u", id);
    return process;
}

unsigned process_running(void) { return running_count; }

pid_t process_pid(uint32_t id) {
    const struct process *process = find(id);
    return process && !process->exited ? process->pid : 0;
}

/* ---- ends ---- */

static int exit_signal(const struct process *process) {
    return WIFSIGNALED(process->status) ? WTERMSIG(process->status) : 0;
}

static int exit_code(const struct process *process) {
    return WIFSIGNALED(process->status) ? 128 + WTERMSIG(process->status) : WEXITSTATUS(process->status);
}

static void put_exit(struct writer *writer, const struct process *process) {
    put_u32(writer, (uint32_t)exit_code(process));
    put_u32(writer, (uint32_t)exit_signal(process));
    put_u8(writer, (process->timed_out ? EXIT_TIMED_OUT : 0) | (process->oom ? EXIT_OOM : 0));
    put_u64(writer, process->streams[0].ring.end);
    put_u64(writer, process->streams[1].ring.end);
}

static void drop_reader(struct reader *reader) {
    struct reader **at = &reader->process->readers;
    while (*at != reader) at = &(*at)->next;
    *at = reader->next;
    loop_free(reader);
}

static bool send_output(struct reader *reader, int index) {
    struct ring *ring = &reader->process->streams[index].ring;
    if (reader->at[index] < ring->start) reader->at[index] = ring->start;
    uint64_t offset = reader->at[index], waiting = ring->end - offset;
    uint32_t credit = reader->channel.send_credit;
    if (ring->end <= offset || credit < MINIMUM_CHARGE || !channel_has_room(&reader->channel)) return false;
    size_t length = credit - OUTPUT_HEAD < FRAME_MAX - OUTPUT_HEAD ? credit - OUTPUT_HEAD : FRAME_MAX - OUTPUT_HEAD;
    if (waiting < length) length = (size_t)waiting;
    uint8_t head[OUTPUT_HEAD];
    struct writer writer = {.data = head, .capacity = sizeof head};
    put_u8(&writer, (uint8_t)(index + 1));
    put_u64(&writer, offset);
    struct slice pieces[2];
    int count = ring_slices(ring, offset, length, pieces);
    channel_send_charged(&reader->channel, FRAME_OUTPUT, head, sizeof head, pieces, count);
    reader->at[index] += length;
    return true;
}

/* Sends what may be sent. False when that ended the reader. */
static bool serve(struct reader *reader) {
    struct process *process = reader->process;
    for (bool sent = true; sent;) {
        sent = send_output(reader, 0);
        sent |= send_output(reader, 1);
    }
    for (int i = 0; i < 2; i++)
        if (reader->at[i] < process->streams[i].ring.end) return true;
    if (!process->sealed) return true;
    uint8_t payload[64];
    struct writer writer = {.data = payload, .capacity = sizeof payload};
    put_exit(&writer, process);
    channel_finish(&reader->channel, payload, writer.length);
    drop_reader(reader);
    return false;
}

static void serve_all(struct process *process) {
    for (struct reader *reader = process->readers, *next; reader; reader = next) {
        next = reader->next;
        serve(reader);
    }
}

/* ---- output ---- */

/* How much may be read: while somebody reads, nothing unread is thrown away. */
static size_t room(const struct stream *stream) {
    const struct process *process = stream->process;
    if (!process->readers) return READ_SIZE;
    int index = stream == &process->streams[1];
    uint64_t oldest = stream->ring.end;
    for (struct reader *reader = process->readers; reader; reader = reader->next) {
        uint64_t at = reader->at[index] < stream->ring.start ? stream->ring.start : reader->at[index];
        if (at < oldest) oldest = at;
    }
    uint64_t unread = stream->ring.end - oldest;
    uint64_t free_bytes = unread < stream->ring.limit ? stream->ring.limit - unread : 0;
    return free_bytes < READ_SIZE ? (size_t)free_bytes : READ_SIZE;
}

static void settle(struct process *process);

/* True when something came. */
static bool read_once(struct stream *stream) {
    if (stream->source.fd < 0) return false;
    size_t size = room(stream);
    loop_set(&stream->source, size ? EPOLLIN : 0);
    if (!size) {
        stream->dry = false;
        return false;
    }
    ssize_t got = read(stream->source.fd, scratch, size);
    if (got > 0) {
        stream->dry = false;
        ring_append(&stream->ring, scratch, (size_t)got);
        return true;
    }
    stream->dry = true;
    /* A terminal says EIO when the last program has closed it. */
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        stream->ended = true;
        loop_close(&stream->source);
    }
    return false;
}

static void read_streams(struct process *process) {
    for (int budget = 8; budget; budget--) {
        bool more = read_once(&process->streams[0]);
        more |= read_once(&process->streams[1]);
        serve_all(process);
        if (!more) break;
    }
    settle(process);
}

static void on_output(struct source *source, uint32_t events) {
    (void)events;
    struct stream *stream = container_of(source, struct stream, source);
    struct process *process = stream->process;
    read_once(stream);
    serve_all(process);
    if (process->exited) read_streams(process);
    else read_once(stream); /* re-arms or disarms after what the readers took */
    serve_all(process);
}

static void evict(void);

/* Says the exit once nothing of the output can be missing. */
static void settle(struct process *process) {
    if (!process->exited || process->sealed) return;
    for (int i = 0; i < 2; i++) {
        struct stream *stream = &process->streams[i];
        if (!stream->ended && !(process->lingered && stream->dry)) return;
    }
    process->sealed = true;
    timer_stop(&process->linger);
    serve_all(process);
    evict();
}

static void on_linger(struct timer *timer) {
    struct process *process = container_of(timer, struct process, linger);
    process->lingered = true;
    read_streams(process);
}

static void on_drain(struct source *source, uint32_t events) {
    (void)events;
    ssize_t got = read(source->fd, scratch, sizeof scratch);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EINTR))) return;
    loop_close(source);
    loop_free(container_of(source, struct drain, source));
}

static void drain(int fd) {
    struct drain *drain = malloc(sizeof *drain);
    if (drain && loop_add(&drain->source, fd, EPOLLIN, on_drain)) return;
    free(drain);
    close(fd);
}

static void forget(struct process *process) {
    for (int i = 0; i < 2; i++) {
        int fd = loop_release(&process->streams[i].source);
        if (fd >= 0 && !process->terminal) drain(fd);
        else if (fd >= 0) close(fd);
        ring_free(&process->streams[i].ring);
    }
    loop_close(&process->input);
    timer_stop(&process->linger);
    timer_stop(&process->timeout);
    timer_stop(&process->grace);
    free(process->directory);
    free(process->summary.data);
    loop_free(process);
}

static bool evictable(const struct process *process) {
    return process->sealed && !process->readers && !process->grace.armed;
}

static size_t held(const struct process *process) {
    return process->streams[0].ring.capacity + process->streams[1].ring.capacity;
}

static void evict(void) {
    unsigned count = 0;
    size_t bytes = 0;
    for (struct process *process = processes; process; process = process->next) {
        if (!process->sealed) continue;
        count++;
        bytes += held(process);
    }
    struct process **at = &processes;
    while (*at && (count > EXITED_MAX || bytes > EXITED_BYTES_MAX)) {
        struct process *process = *at;
        if (!evictable(process)) {
            at = &process->next;
            continue;
        }
        *at = process->next;
        count--;
        bytes -= held(process);
        forget(process);
    }
}

/* ---- input ---- */

static void finish_write(struct process *process, enum error_code code, int number) {
    struct stdin_write *write = process->writes;
    process->writes = write->next;
    if (code) channel_fail(&write->channel, code, number, "process %u no longer reads its input", process->id);
    else channel_finish(&write->channel, NULL, 0);
    loop_free(write);
}

static void close_input(struct process *process) {
    loop_close(&process->input);
    while (process->writes) finish_write(process, ERROR_CONFLICT, EPIPE);
}

static void feed(struct process *process) {
    while (process->writes) {
        struct stdin_write *next = process->writes;
        if (next->done < next->length) {
            ssize_t put = write(process->input.fd, next->data + next->done, next->length - next->done);
            if (put < 0 && errno == EINTR) continue;
            if (put < 0 && errno == EAGAIN) break;
            if (put < 0) {
                close_input(process);
                return;
            }
            next->done += (size_t)put;
            continue;
        }
        bool last = next->last;
        finish_write(process, 0, 0);
        if (last && !process->terminal) {
            close_input(process);
            return;
        }
    }
    loop_set(&process->input, process->writes ? EPOLLOUT : 0);
}

static void on_input(struct source *source, uint32_t events) {
    (void)events;
    feed(container_of(source, struct process, input));
}

static void write_cancelled(struct channel *channel) {
    struct stdin_write *write = container_of(channel, struct stdin_write, channel);
    struct stdin_write **at = &write->process->writes;
    while (*at != write) at = &(*at)->next;
    *at = write->next;
    loop_free(write);
    if (!write->process->writes) loop_set(&write->process->input, 0);
}

static void ignore_frame(struct channel *channel, uint8_t type, uint8_t *payload, size_t length) {
    (void)channel, (void)type, (void)payload, (void)length;
}

static void ignore_credit(struct channel *channel) { (void)channel; }

static const struct channel_operations write_operations = {ignore_frame, ignore_credit, write_cancelled};

void process_stdin(struct request *request) {
    uint32_t id = get_u32(&request->payload);
    bool last = get_u8(&request->payload) & 1;
    size_t length;
    uint8_t *data = get_bytes(&request->payload, &length);
    if (request->payload.bad) {
        request_fail(request, ERROR_INVALID, EINVAL, "malformed STDIN");
        return;
    }
    struct process *process = find_or_fail(request, id);
    if (!process) return;
    if (process->exited || process->input.fd < 0) {
        request_fail(request, ERROR_CONFLICT, EPIPE,
                     process->exited ? "process %u has already ended" : "process %u has no open input", id);
        return;
    }
    unsigned waiting = 0;
    struct stdin_write **at = &process->writes;
    for (; *at; at = &(*at)->next) waiting++;
    /* Ctrl-D is how a terminal says end of input. */
    bool end_of_input = last && process->terminal;
    struct stdin_write *write = waiting < STDIN_WAITING_MAX ? malloc(sizeof *write + length + 1) : NULL;
    if (!write) {
        request_fail(request, ERROR_LIMIT, EAGAIN, "too many writes wait for process %u to read its input", id);
        return;
    }
    *write = (struct stdin_write){.process = process, .last = last, .length = length + end_of_input};
    memcpy(write->data, data, length);
    if (end_of_input) write->data[length] = 4;
    if (!channel_open(&write->channel, request, &write_operations)) {
        free(write);
        return;
    }
    *at = write;
    feed(process);
}

/* ---- limits, signals, exit ---- */

static void on_grace(struct timer *timer) {
    struct process *process = container_of(timer, struct process, grace);
    proc_kill(process->pid, SIGKILL);
    proc_kill_remembered(process->overdue);
    process->overdue = NULL;
    process->lingered = true;
    if (process->exited) read_streams(process);
}

static void on_timeout(struct timer *timer) {
    struct process *process = container_of(timer, struct process, timeout);
    if (process->exited) return;
    process->timed_out = true;
    kill(-process->pid, SIGSTOP); /* or a fork bomb leaves no time to look around */
    process->overdue = proc_remember(process->pid);
    proc_kill(process->pid, SIGTERM);
    kill(-process->pid, SIGCONT);
    timer_start(&process->grace, GRACE_MS, on_grace);
}

bool process_exited(pid_t pid, int status) {
    struct process *process = processes;
    while (process && (process->exited || process->pid != pid)) process = process->next;
    if (!process) return false;
    process->exited = true;
    process->status = status;
    running_count--;
    timer_stop(&process->timeout);
    close_input(process);
    /* After a timeout the exit waits for the KILL of what is left of the group. */
    if (!process->timed_out) timer_start(&process->linger, LINGER_MS, on_linger);
    read_streams(process);
    return true;
}

void process_mark_oom(pid_t pid) {
    size_t count;
    pid = sudo_asker(pid);
    struct proc *procs = proc_scan(&count);
    for (struct process *process = processes; process; process = process->next) {
        if (process->exited) continue;
        proc_mark(procs, count, process->pid);
        for (size_t i = 0; i < count; i++)
            if (procs[i].marked && procs[i].pid == pid) process->oom = true;
    }
}

void process_signal(struct request *request) {
    uint32_t id = get_u32(&request->payload), signum = get_u32(&request->payload);
    bool group = get_u8(&request->payload) & 1;
    if (request->payload.bad || signum >= NSIG) {
        request_fail(request, ERROR_INVALID, EINVAL, "no such signal: %u", signum);
        return;
    }
    struct process *process = find_or_fail(request, id);
    if (!process) return;
    if (process->exited) {
        request_fail(request, ERROR_CONFLICT, ESRCH, "process %u has already ended", id);
        return;
    }
    if (group && signum == SIGKILL) proc_kill(process->pid, SIGKILL);
    else if (kill(group ? -process->pid : process->pid, (int)signum) < 0) {
        request_fail(request, error_of(errno), errno, "cannot signal process %u: %s", id, strerror(errno));
        return;
    }
    request_reply(request, NULL, 0);
}

void process_resize(struct request *request) {
    uint32_t id = get_u32(&request->payload);
    uint16_t rows = get_u16(&request->payload), columns = get_u16(&request->payload);
    if (request->payload.bad) {
        request_fail(request, ERROR_INVALID, EINVAL, "malformed RESIZE");
        return;
    }
    struct process *process = find_or_fail(request, id);
    if (!process) return;
    if (!process->terminal) request_fail(request, ERROR_INVALID, ENOTTY, "process %u has no terminal", id);
    else if (process->exited || pty_resize(process->streams[0].source.fd, rows, columns) < 0)
        request_fail(request, ERROR_CONFLICT, errno, "process %u has already ended", id);
    else {
        if (memory_in_gvisor()) proc_kill(process->pid, SIGWINCH); /* its terminals tell nobody of a new size */
        request_reply(request, NULL, 0);
    }
}

/* ---- readers ---- */

static void reader_proceed(struct channel *channel) {
    struct reader *reader = container_of(channel, struct reader, channel);
    struct process *process = reader->process;
    serve(reader);
    if (process->exited) {
        read_streams(process);
        return;
    }
    /* Room in the ring lets the pipe be read again. */
    for (int i = 0; i < 2; i++)
        if (process->streams[i].source.fd >= 0 && process->streams[i].source.events == 0 &&
            room(&process->streams[i]))
            loop_set(&process->streams[i].source, EPOLLIN);
}

static void reader_closed(struct channel *channel) {
    struct reader *reader = container_of(channel, struct reader, channel);
    struct process *process = reader->process;
    drop_reader(reader);
    read_streams(process); /* it may have been what held the pipe back */
    evict();
}

static const struct channel_operations reader_operations = {ignore_frame, reader_proceed, reader_closed};

static struct reader *add_reader(struct request *request, struct process *process) {
    struct reader *reader = malloc(sizeof *reader);
    if (!reader) {
        request_fail(request, ERROR_LIMIT, ENOMEM, "the agent is out of memory");
        return NULL;
    }
    if (!channel_open(&reader->channel, request, &reader_operations)) {
        free(reader);
        return NULL;
    }
    reader->process = process;
    reader->next = process->readers;
    reader->at[0] = reader->at[1] = 0;
    process->readers = reader;
    uint8_t payload[16];
    struct writer writer = {.data = payload, .capacity = sizeof payload};
    put_u32(&writer, process->id);
    put_u32(&writer, (uint32_t)process->pid);
    channel_send(&reader->channel, FRAME_REPLY, 0, payload, writer.length);
    return reader;
}

void process_attach(struct request *request) {
    uint32_t id = get_u32(&request->payload);
    uint64_t from[2] = {get_u64(&request->payload), get_u64(&request->payload)};
    if (request->payload.bad) {
        request_fail(request, ERROR_INVALID, EINVAL, "malformed ATTACH");
        return;
    }
    struct process *process = find_or_fail(request, id);
    if (!process) return;
    struct reader *reader = add_reader(request, process);
    if (!reader) return;
    for (int i = 0; i < 2; i++) {
        uint64_t end = process->streams[i].ring.end;
        reader->at[i] = from[i] > end ? end : from[i]; /* all ones: from now on */
    }
    serve(reader);
}

/* ---- list ---- */

static void put_info(struct writer *writer, const struct process *process) {
    put_u32(writer, process->id);
    put_u32(writer, (uint32_t)process->pid);
    put_u8(writer, (process->terminal ? INFO_TERMINAL : 0) | (process->sealed ? 0 : INFO_RUNNING));
    put_u64(writer, (uint64_t)(process->started_at * 1e6));
    put_exit(writer, process);
    put_text(writer, process->user);
    put_text(writer, process->tag);
    put_text(writer, process->directory);
    put_u32(writer, process->summary_count);
    put_raw(writer, process->summary.data, process->summary.length);
}

void process_list(struct request *request) {
    uint32_t after = get_u32(&request->payload);
    if (request->payload.bad) {
        request_fail(request, ERROR_INVALID, EINVAL, "malformed PROCESSES");
        return;
    }
    struct writer writer = {.data = scratch, .capacity = sizeof scratch};
    put_u8(&writer, 0);
    for (struct process *process = processes; process; process = process->next) {
        if (process->id <= after) continue;
        if (writer.length > LIST_BYTES) {
            scratch[0] = 1; /* more: ask again after the last id */
            break;
        }
        put_info(&writer, process);
    }
    request_reply(request, scratch, writer.length);
}

/* ---- spawn ---- */

struct spawn {
    char **arguments, **environment, **words, **premises;
    char *directory, *user, *tag;
    uint8_t flags;
    uint16_t rows, columns;
    uint64_t timeout_ms;
    uint32_t keep;
};

/* A list of strings, ended by NULL. */
static char **get_list(struct cursor *cursor) {
    uint32_t count = get_u32(cursor);
    if (cursor->bad || count > ARGUMENTS_MAX) {
        cursor->bad = true;
        return NULL;
    }
    char **list = malloc((count + 1) * sizeof *list);
    if (!list) return NULL;
    for (uint32_t i = 0; i < count; i++) list[i] = get_text(cursor);
    list[count] = NULL;
    return list;
}

static void summarize(struct process *process, char **arguments) {
    process->summary = (struct writer){.data = malloc(SUMMARY_MAX), .capacity = SUMMARY_MAX};
    if (!process->summary.data) process->summary.full = true;
    for (; *arguments; arguments++) {
        struct writer before = process->summary;
        put_text(&process->summary, *arguments);
        if (process->summary.full) { /* cut, not left out: the start of a long script says most */
            size_t left = before.capacity - before.length;
            process->summary = before;
            if (left <= 4) return;
            put_bytes(&process->summary, *arguments, left - 4);
            process->summary_count++;
            return;
        }
        process->summary_count++;
    }
    uint8_t *shrunk = realloc(process->summary.data, process->summary.length + 1);
    if (shrunk) process->summary.data = shrunk;
}

struct plumbing {
    int child[3], ours[3];
};

static void close_all(int fds[3]) {
    for (int i = 0; i < 3; i++) {
        bool shared = false;
        for (int j = 0; j < i; j++) shared |= fds[j] == fds[i];
        if (fds[i] >= 0 && !shared) close(fds[i]);
    }
}

static bool plumb_pipes(struct plumbing *plumbing, bool with_stdin) {
    for (int i = with_stdin ? 0 : 1; i < 3; i++) {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) < 0) return false;
        plumbing->child[i] = ends[i == 0 ? 0 : 1];
        plumbing->ours[i] = ends[i == 0 ? 1 : 0];
        fcntl(plumbing->ours[i], F_SETFL, O_NONBLOCK);
        fcntl(plumbing->ours[i], F_SETPIPE_SZ, PIPE_SIZE); /* fewer switches, which are dear in gVisor */
    }
    return true;
}

static bool plumb_terminal(struct plumbing *plumbing, const struct user *user, uint16_t rows, uint16_t columns) {
    int slave;
    if (pty_open(user->uid, rows, columns, &plumbing->ours[1], &slave) < 0) return false;
    for (int i = 0; i < 3; i++) plumbing->child[i] = slave;
    plumbing->ours[0] = fcntl(plumbing->ours[1], F_DUPFD_CLOEXEC, 0);
    return plumbing->ours[0] >= 0;
}

static void enlist(struct process *process) {
    struct process **at = &processes;
    while (*at) at = &(*at)->next;
    *at = process;
    running_count++;
}

static void open_streams(struct process *process, const int ours[3], uint32_t keep) {
    process->input.fd = -1;
    if (ours[0] >= 0) loop_add(&process->input, ours[0], 0, on_input);
    for (int i = 0; i < 2; i++) {
        struct stream *stream = &process->streams[i];
        stream->process = process;
        stream->ring.limit = keep < 4096 ? 4096 : keep > KEEP_MAX ? KEEP_MAX : keep;
        stream->source.fd = -1;
        stream->ended = ours[i + 1] < 0;
        if (!stream->ended) loop_add(&stream->source, ours[i + 1], EPOLLIN, on_output);
    }
}

static pid_t start(struct spawn *spawn, const struct user *user, struct plumbing *plumbing,
                   struct launch_failure *failure) {
    bool terminal = spawn->flags & SPAWN_TERMINAL;
    if (!(terminal ? plumb_terminal(plumbing, user, spawn->rows, spawn->columns)
                   : plumb_pipes(plumbing, spawn->flags & SPAWN_STDIN))) {
        failure->code = error_of(errno);
        failure->number = errno;
        snprintf(failure->message, sizeof failure->message, "cannot make a %s: %s", terminal ? "terminal" : "pipe",
                 strerror(errno));
        return -1;
    }
    char **environment = environment_complete(spawn->environment, user, terminal);
    struct launch start = {
        .arguments = spawn->arguments,
        .words = spawn->words,
        .premises = spawn->premises,
        .environment = environment,
        .directory = *spawn->directory ? spawn->directory : NULL,
        .directory_fd = -1,
        .user = user,
        .stdio = {plumbing->child[0], plumbing->child[1], plumbing->child[2]},
        .terminal = terminal,
    };
    pid_t pid = environment ? launch(&start, failure) : -1;
    free(environment);
    return pid;
}

static void spawn_parsed(struct request *request, struct spawn *spawn) {
    struct user user;
    if (!user_find(spawn->user, &user)) {
        request_fail(request, ERROR_INVALID, 0, "no such user: %s", spawn->user);
        return;
    }
    if (running_count >= RUNNING_MAX) {
        request_fail(request, ERROR_LIMIT, EAGAIN, "more than %d commands at once", RUNNING_MAX);
        return;
    }
    struct process *process = calloc(1, sizeof *process);
    if (!process) {
        request_fail(request, ERROR_LIMIT, ENOMEM, "the agent is out of memory");
        return;
    }
    struct plumbing plumbing = {{-1, -1, -1}, {-1, -1, -1}};
    struct launch_failure failure = {.code = ERROR_LIMIT, .number = ENOMEM, .message = "the agent is out of memory"};
    pid_t pid = start(spawn, &user, &plumbing, &failure);
    close_all(plumbing.child);
    if (pid < 0) {
        close_all(plumbing.ours);
        free(process);
        request_fail(request, failure.code, failure.number, "%s", failure.message);
        return;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    process->id = ++last_id;
    process->pid = pid;
    process->terminal = spawn->flags & SPAWN_TERMINAL;
    process->started_at = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    snprintf(process->user, sizeof process->user, "%s", user.name);
    snprintf(process->tag, sizeof process->tag, "%s", spawn->tag);
    process->directory = strdup(*spawn->directory ? spawn->directory : user.home);
    summarize(process, spawn->arguments);
    open_streams(process, plumbing.ours, spawn->keep);
    enlist(process);
    if (spawn->timeout_ms) timer_start(&process->timeout, spawn->timeout_ms, on_timeout);
    add_reader(request, process);
}

void process_spawn(struct request *request) {
    struct cursor *cursor = &request->payload;
    struct spawn spawn = {.arguments = get_list(cursor)};
    if (!cursor->bad) spawn.environment = get_list(cursor);
    spawn.directory = get_text(cursor);
    spawn.user = get_text(cursor);
    spawn.tag = get_text(cursor);
    spawn.flags = get_u8(cursor);
    spawn.rows = get_u16(cursor);
    spawn.columns = get_u16(cursor);
    spawn.timeout_ms = get_u64(cursor);
    spawn.keep = get_u32(cursor);
    if (!cursor->bad && cursor->left) spawn.words = get_list(cursor);
    if (!cursor->bad && cursor->left) spawn.premises = get_list(cursor);
    if (cursor->bad || !spawn.arguments || !spawn.environment || !spawn.arguments[0] || strlen(spawn.tag) > TAG_MAX)
        request_fail(request, ERROR_INVALID, EINVAL,
                     "a command is 1 to %d strings without NUL bytes, its environment as many", ARGUMENTS_MAX);
    else
        spawn_parsed(request, &spawn);
    free(spawn.arguments);
    free(spawn.environment);
    free(spawn.words);
    free(spawn.premises);
}
