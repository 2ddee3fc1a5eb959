/* In place of launch and proc: nothing is started and nobody is signalled. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launch.h"
#include "proc.h"

#undef kill
int fuzz_kill(pid_t pid, int signum);
int fuzz_kill(pid_t pid, int signum) {
    (void)signum;
    return pid > -100000 && pid < 100000 ? -1 : 0; /* only pids that launch made up */
}

pid_t launch(const struct launch *launch, struct launch_failure *failure) {
    static pid_t last = 4000000;
    size_t all = launch->file ? strlen(launch->file) : 0;
    for (char **word = launch->arguments; *word; word++) all += strlen(*word);
    for (char **variable = launch->environment; *variable; variable++) all += strlen(*variable);
    if (all % 4 == 3) {
        snprintf(failure->message, sizeof failure->message, "no such program: %s", launch->arguments[0]);
        return -1;
    }
    for (int i = 1; i < 3; i++)
        if (launch->stdio[i] >= 0 && write(launch->stdio[i], "output\n", 7) < 0) continue;
    return last++;
}

struct proc *proc_scan(size_t *count) {
    *count = 0;
    return NULL;
}
void proc_mark(struct proc *procs, size_t count, pid_t root) { (void)procs, (void)count, (void)root; }
void proc_kill(pid_t root, int signum) { (void)root, (void)signum; }
struct prey *proc_remember(pid_t root) {
    (void)root;
    return NULL;
}
void proc_kill_remembered(struct prey *prey) { free(prey); }
