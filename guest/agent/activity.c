#include "activity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "job.h"
#include "proc.h"
#include "process.h"

enum { WAITING_MAX = 64, REASON_MAX = 128 };

/* Processes that are known to wait for the host's next word. */
struct waiting {
    size_t count;
    pid_t pids[WAITING_MAX];
};

static bool read_waiting(struct cursor *payload, struct waiting *waiting) {
    uint32_t count = get_u32(payload);
    if (count > WAITING_MAX) return false;
    for (uint32_t i = 0; i < count; i++) {
        pid_t pid = process_pid(get_u32(payload));
        if (pid) waiting->pids[waiting->count++] = pid;
    }
    if (!payload->left) return !payload->bad; /* a host of before knows no others */
    count = get_u32(payload);
    if (count > WAITING_MAX - waiting->count) return false;
    for (uint32_t i = 0; i < count; i++) waiting->pids[waiting->count++] = (pid_t)get_u32(payload);
    return !payload->bad;
}

static bool is_waiting(const struct waiting *waiting, pid_t pid) {
    for (size_t i = 0; i < waiting->count; i++)
        if (waiting->pids[i] == pid) return true;
    return false;
}

/* A guest may have mounted something over /proc; then nobody can tell what runs. */
static bool proc_is_there(void) {
    struct stat own;
    return stat("/proc/1/stat", &own) == 0;
}

static void find_reason(const struct waiting *waiting, char reason[REASON_MAX], size_t *count) {
    const struct proc *procs = proc_scan(count);
    *reason = 0;
    if (!proc_is_there()) snprintf(reason, REASON_MAX, "/proc cannot be read");
    else if (jobs_at_work()) snprintf(reason, REASON_MAX, "files are being read or written");
    for (size_t i = 0; i < *count && !*reason; i++)
        if (!is_waiting(waiting, procs[i].pid)) snprintf(reason, REASON_MAX, "process %d", procs[i].pid);
}

/* All processes count, whoever started them: one that detached itself has come to the agent, which is PID 1. What they
 * hold, ports and timers, needs no look of its own. */
void activity_tell(struct request *request) {
    struct waiting waiting = {0};
    if (!read_waiting(&request->payload, &waiting)) {
        request_fail(request, ERROR_INVALID, 0, "malformed request, or more than %d processes", WAITING_MAX);
        return;
    }
    char reason[REASON_MAX];
    size_t count;
    find_reason(&waiting, reason, &count);
    uint8_t payload[REASON_MAX + 16];
    struct writer writer = {.data = payload, .capacity = sizeof payload};
    put_u32(&writer, (uint32_t)count);
    put_text(&writer, reason);
    request_reply(request, payload, writer.length);
}
