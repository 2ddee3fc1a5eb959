#include "conn.c"
#include "probes.h"

void probe_secret(const char *given) { take_secret(given, strlen(given)); }

void probe_accept(int fd) {
    struct conn *conn = calloc(1, sizeof *conn);
    conn->in = malloc(IN_CAPACITY);
    conn->out_tail = &conn->out;
    conn->next = conns;
    conns = conn;
    loop_add(&conn->source, fd, EPOLLIN, on_socket);
    timer_start(&conn->hello, HELLO_MS, on_hello_late);
}

bool probe_connections(void) { return conns != NULL; }
