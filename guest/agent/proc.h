/* What /proc says of the guest's processes. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proc {
    pid_t pid, parent, group, session;
    uint64_t started; /* with the pid it names one process for good */
    uint64_t cpu_ticks;
    uint64_t resident; /* bytes */
    bool marked;
};

/* All processes but the agent itself, in memory of the callee's that the next call reuses. */
struct proc *proc_scan(size_t *count);
/* Marks the process `root`, the session and group it leads, and all descendants of these. */
void proc_mark(struct proc *procs, size_t count, pid_t root);
/* Signals them; with SIGKILL those too that they start meanwhile. */
void proc_kill(pid_t root, int signum);
/* Those that proc_kill would reach, to be ended later though their links to `root` be gone. NULL: none. */
struct prey *proc_remember(pid_t root);
/* Ends them, and frees the memory. */
void proc_kill_remembered(struct prey *prey);
