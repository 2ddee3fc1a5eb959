/* A folder of nothing, private to this process, in which the agent may do to files whatever a request says. */
#pragma once
#include <stdlib.h>

/* Once: a mount and a network namespace of its own, with a small tmpfs. Needs root. */
void box_open(void);
/* The box is the root folder from here on, for all threads. The input is kept where $SANDLOT_FUZZ_INPUT says: inside,
 * libFuzzer cannot save what crashed. */
void box_enter(const void *input, size_t size);
void box_leave(void);
/* Removes all that is in it. From inside. */
void box_clear(void);
