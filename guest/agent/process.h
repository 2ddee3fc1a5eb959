/* Processes that the host started: their output, input, limits and ends. */
#pragma once
#include <sys/types.h>

#include "conn.h"

void process_spawn(struct request *);
void process_attach(struct request *);
void process_list(struct request *);
void process_stdin(struct request *);
void process_signal(struct request *);
void process_resize(struct request *);

/* A child was reaped. False when it is none of ours. */
bool process_exited(pid_t pid, int status);
/* The process whose tree `pid` belongs to will say that memory ran out. */
void process_mark_oom(pid_t pid);
unsigned process_running(void);
/* Of one that runs; 0 where there is none. */
pid_t process_pid(uint32_t id);
