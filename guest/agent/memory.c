#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proc.h"
#include "process.h"

/* No program here fills memory faster; half the time that the free part lasts is soon enough to look again. */
enum { OWN_THREADS = 8 }; /* not counted against the user's processes */
enum { FILL_BYTES_PER_MS = 2 * 1024 * 1024, SOONEST_MS = 10, LATEST_MS = 500, AFTER_KILL_MS = 50 };

static bool in_gvisor;
static uint64_t limit; /* bytes; 0: somebody else keeps it */
static int meminfo_fd = -1;
static struct timer timer;
static uint64_t wake_after = SOONEST_MS;
static uint64_t started_ms;

bool memory_in_gvisor(void) { return in_gvisor; }

/* What the whole sandbox uses, tmpfs included: in gVisor meminfo is the sandbox's own. */
static uint64_t used(void) {
    char text[512];
    unsigned long long total, available;
    ssize_t length = pread(meminfo_fd, text, sizeof text - 1, 0);
    if (length <= 0) return 0;
    text[length] = 0;
    if (sscanf(text, "MemTotal: %llu kB MemFree: %llu kB", &total, &available) != 2 || available > total) return 0;
    return (total - available) * 1024;
}

/* 0 when there is none, or when ending one would free little. */
static pid_t kill_largest(uint64_t worthwhile) {
    size_t count;
    uint64_t sum = 0;
    struct proc *procs = proc_scan(&count), *largest = NULL;
    for (size_t i = 0; i < count; i++) {
        sum += procs[i].resident;
        if (!largest || procs[i].resident > largest->resident) largest = &procs[i];
    }
    if (!largest || sum < worthwhile) return 0;
    pid_t victim = largest->pid;
    process_mark_oom(victim);
    return kill(victim, SIGKILL) == 0 ? victim : 0;
}

static bool anything_runs(void) {
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

/* How long `room` may go unwatched, in milliseconds. */
static uint64_t unheeded_for(uint64_t room) {
    uint64_t wait = room / FILL_BYTES_PER_MS / 2;
    if (wait < SOONEST_MS) return SOONEST_MS;
    return wait > LATEST_MS ? LATEST_MS : wait;
}

static void on_timer(struct timer *due) {
    (void)due;
    if (!anything_runs()) return;
    uint64_t now = used(), threshold = limit - limit / 32, wait = AFTER_KILL_MS;
    if (now < threshold) {
        wait = wake_after = unheeded_for(threshold - now);
    } else if (!kill_largest(now / 2)) {
        wait = LATEST_MS; /* files in memory, which no kill frees */
    }
    timer_start(&timer, wait, on_timer);
}

/* While nothing ran nothing grew: there is as much room as at the last look, which a short command then never meets. */
void memory_wake(void) {
    if (limit && !timer.armed) timer_start(&timer, wake_after, on_timer);
}

static uint64_t number_from(const char *name) {
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : 0;
}

static bool write_text(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) close(fd);
    return written;
}

/* Two limits, as neither is whole in runsc 20240729. RLIMIT_NPROC holds exactly, but not for root inside. gVisor's own
 * cgroup counts all, but loses count when many fork: 360 were let through where 72 was the limit. It is mounted over
 * /proc for a moment, as no other folder is sure to exist. The agent itself joins, and all it starts are born into it:
 * moving each new process in raises the limit by one every time. */
static void limit_processes(uint64_t pids) {
    char text[32];
    setrlimit(RLIMIT_NPROC, &(struct rlimit){pids, pids});
    snprintf(text, sizeof text, "%llu", (unsigned long long)pids + OWN_THREADS);
    if (mount("none", "/proc", "cgroup", 0, "pids") < 0) return;
    if (mkdir("/proc/sandlot", 0700) == 0 && write_text("/proc/sandlot/pids.max", text))
        write_text("/proc/sandlot/cgroup.procs", "0");
    umount2("/proc", MNT_DETACH);
}

void memory_open(void) {
    const char *tier = getenv("SANDLOT_TIER");
    uint64_t pids = number_from("SANDLOT_PIDS");
    started_ms = now_ms();
    in_gvisor = tier && strcmp(tier, "gvisor") == 0;
    if (!in_gvisor) return; /* the host's cgroups keep both limits */
    meminfo_fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    if (meminfo_fd >= 0) limit = number_from("SANDLOT_MEMORY_BYTES");
    if (pids) limit_processes(pids);
}

void memory_oom_kill(struct request *request) {
    uint8_t payload[4];
    struct writer writer = {.data = payload, .capacity = sizeof payload};
    put_u32(&writer, (uint32_t)kill_largest(0));
    request_reply(request, payload, writer.length);
}

static uint64_t microseconds(struct timeval time) { return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec; }

void memory_stats(struct request *request) {
    size_t count;
    uint64_t resident = 0, ticks = 0;
    struct proc *procs = proc_scan(&count);
    for (size_t i = 0; i < count; i++) {
        resident += procs[i].resident;
        ticks += procs[i].cpu_ticks;
    }
    struct rusage reaped;
    getrusage(RUSAGE_CHILDREN, &reaped);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint8_t payload[64];
    struct writer writer = {.data = payload, .capacity = sizeof payload};
    put_u32(&writer, (uint32_t)count);
    put_u64(&writer, meminfo_fd >= 0 ? used() : resident);
    put_u64(&writer, microseconds(reaped.ru_utime) + microseconds(reaped.ru_stime) +
                         ticks * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK));
    put_u64(&writer, now_ms() - started_ms);
    put_u64(&writer, (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
    request_reply(request, payload, writer.length);
}
