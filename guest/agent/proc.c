#include "proc.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROCS_MAX = 32768 };

static bool read_stat(pid_t pid, struct proc *proc) {
    char path[32], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0) return false;
    text[length] = 0;
    /* The name may hold anything, brackets too: fields count from the last one. */
    char *fields = strrchr(text, ')');
    char state;
    long resident = 0;
    unsigned long user = 0, system = 0;
    unsigned long long started = 0;
    int parent, group, session;
    if (!fields || sscanf(fields + 1,
                          " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %lu %lu %*d %*d %*d %*d %*d %*d %llu %*u %ld",
                          &state, &parent, &group, &session, &user, &system, &started, &resident) != 8)
        return false;
    *proc = (struct proc){
        .pid = pid,
        .parent = parent,
        .group = group,
        .session = session,
        .started = started,
        .cpu_ticks = user + system,
        .resident = (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE),
    };
    return state != 'Z' && state != 'X';
}

struct proc *proc_scan(size_t *count) {
    static struct proc *procs;
    static size_t capacity;
    *count = 0;
    DIR *directory = opendir("/proc");
    if (!directory) return procs;
    struct dirent *entry;
    pid_t self = getpid(), last = 0;
    while ((entry = readdir(directory)) && *count < PROCS_MAX) {
        pid_t pid = atoi(entry->d_name);
        if (pid <= last || pid == self) continue; /* ascending; gVisor tells some twice */
        last = pid;
        if (*count == capacity) {
            size_t larger = capacity ? capacity * 2 : 64;
            struct proc *grown = realloc(procs, larger * sizeof *procs);
            if (!grown) break;
            procs = grown;
            capacity = larger;
        }
        if (read_stat(pid, &procs[*count])) ++*count;
    }
    closedir(directory);
    return procs;
}

void proc_mark(struct proc *procs, size_t count, pid_t root) {
    for (size_t i = 0; i < count; i++)
        procs[i].marked = procs[i].pid == root || procs[i].group == root || procs[i].session == root;
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < count; i++) {
            if (procs[i].marked) continue;
            for (size_t j = 0; j < count; j++)
                if (procs[j].marked && procs[j].pid == procs[i].parent) procs[i].marked = more = true;
        }
    }
}

void proc_kill(pid_t root, int signum) {
    /* Those that left the group first: once their parents are dead nothing ties them to it. One that forks while it
     * is being hunted is found in the next round. The group stands still meanwhile: a fork bomb would leave no time. */
    if (signum == SIGKILL) kill(-root, SIGSTOP);
    for (int rounds = signum == SIGKILL ? 8 : 1; rounds; rounds--) {
        size_t count, hit = 0;
        struct proc *procs = proc_scan(&count);
        proc_mark(procs, count, root);
        for (size_t i = 0; i < count; i++)
            if (procs[i].marked && procs[i].group != root) hit += kill(procs[i].pid, signum) == 0;
        kill(-root, signum);
        if (!hit) break;
    }
}

struct prey {
    size_t count;
    struct {
        pid_t pid;
        uint64_t started;
    } each[];
};

struct prey *proc_remember(pid_t root) {
    size_t count, marked = 0;
    struct proc *procs = proc_scan(&count);
    proc_mark(procs, count, root);
    for (size_t i = 0; i < count; i++) marked += procs[i].marked;
    struct prey *prey = malloc(sizeof *prey + marked * sizeof *prey->each);
    if (!prey) return NULL;
    prey->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!procs[i].marked) continue;
        prey->each[prey->count].pid = procs[i].pid;
        prey->each[prey->count++].started = procs[i].started;
    }
    return prey;
}

void proc_kill_remembered(struct prey *prey) {
    struct proc now;
    for (size_t i = 0; prey && i < prey->count; i++)
        if (read_stat(prey->each[i].pid, &now) && now.started == prey->each[i].started)
            kill(prey->each[i].pid, SIGKILL);
    free(prey);
}
