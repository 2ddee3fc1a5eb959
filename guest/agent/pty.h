/* Terminals. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

/* A master (non-blocking) and its slave, owned by `uid`. -1 with errno set. */
int pty_open(uid_t uid, uint16_t rows, uint16_t columns, int *master, int *slave);
int pty_resize(int master, uint16_t rows, uint16_t columns);
