/* The sandbox's limits of memory and processes, where the agent has to keep them (gVisor), and its statistics. */
#pragma once
#include "conn.h"

/* Reads SANDLOT_TIER, SANDLOT_MEMORY_BYTES and SANDLOT_PIDS. */
void memory_open(void);
/* A user process starts: watch from now on. It stops by itself when none is left. */
void memory_wake(void);

bool memory_in_gvisor(void);

void memory_oom_kill(struct request *);
void memory_stats(struct request *);
