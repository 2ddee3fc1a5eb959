/* What the harnesses must reach and the agent has no need to show. */
#pragma once
#include <stdbool.h>

/* A connection on `fd`, as if it had been accepted. */
void probe_accept(int fd);
void probe_secret(const char *secret);
bool probe_connections(void);
/* One round of the loop, without waiting. */
void probe_round(void);
/* Whether a worker still runs, or a job waits for one. */
bool probe_jobs(void);
/* All processes end, and are forgotten. */
void probe_end_processes(void);
void probe_sudo_accept(int fd);
bool probe_sudo_sessions(void);
