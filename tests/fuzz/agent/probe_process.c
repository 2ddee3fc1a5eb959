#include "process.c"
#include "probes.h"

void probe_end_processes(void) {
    for (struct process *process = processes; process; process = process->next)
        if (!process->exited) process_exited(process->pid, 0);
    while (processes) {
        struct process *process = processes;
        processes = process->next;
        proc_kill_remembered(process->overdue);
        forget(process);
    }
}
