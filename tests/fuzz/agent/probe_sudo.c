#include "sudo.c"
#include "probes.h"

void probe_sudo_accept(int fd) {
    struct session *session = calloc(1, sizeof *session);
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
    session->in = malloc(REQUEST_MAX + FRAME_HEADER);
    for (int i = 0; i < SUDO_FDS; i++) session->fds[i] = -1;
    session->next = sessions;
    sessions = session;
    session_count++;
    loop_add(&session->source, fd, EPOLLIN, on_session);
    timer_start(&session->deadline, REQUEST_MS, on_deadline);
    say(session, SUDO_HELLO, NULL, 0, -1);
}

bool probe_sudo_sessions(void) { return sessions != NULL; }
