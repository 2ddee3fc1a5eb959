#include "loop.c"
#include "conn.h"
#include "probes.h"

void probe_round(void) {
    struct epoll_event events[BATCH];
    dispatch(events, epoll_wait(epoll_fd, events, BATCH, 0));
    fire_due();
    conn_round_end();
    bury();
}
