#include "sudo.c"
#include "probes.h"

void probe_sudo_accept(int fd) { begin(fd); }

bool probe_sudo_sessions(void) { return sessions != NULL; }
