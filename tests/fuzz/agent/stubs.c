/* For the harness of the sudo socket, which has neither connections nor processes. */
#include "conn.h"
#include "memory.h"

void conn_round_end(void) {}
void memory_wake(void) {}
