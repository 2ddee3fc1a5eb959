/* Sandlot's guest agent: PID 1 of a sandbox. docs/agent-protocol.md says what it speaks. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conn.h"
#include "job.h"
#include "launch.h"
#include "memory.h"
#include "process.h"
#include "renew.h"
#include "sudo.h"

static void reap(void) {
    int status;
    for (;;) {
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid <= 0) break;
        if (!process_exited(pid, status)) sudo_exited(pid, status);
    }
}

/* The value, wiped from the memory that /proc/<pid>/environ shows. */
static char *take_secret(void) {
    char *value = getenv("SANDLOT_SECRET");
    char *copy = value ? strdup(value) : NULL;
    if (value) explicit_bzero(value, strlen(value));
    unsetenv("SANDLOT_SECRET");
    return copy;
}

static void say_ready(void) {
    if (write(1, "ready\n", 6) != 6) exit(1);
    /* One end of the host's pipe stays open for as long as the sandbox lives. */
    fcntl(1, F_DUPFD_CLOEXEC, 3);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3 && null >= 0; fd++) dup2(null, fd);
    if (null > 2) close(null);
}

static void usage(void) {
    fprintf(stderr, "usage: SANDLOT_SECRET=... agent --port PORT [--address IPV4]\n");
    exit(2);
}

int main(int count, char **arguments) {
    const char *name = count ? strrchr(arguments[0], '/') : NULL;
    name = name ? name + 1 : count ? arguments[0] : "";
    if (strcmp(name, "sudo") == 0) return sudo_main(count, arguments);
    if (strcmp(name, "su") == 0) return su_main(count, arguments);
    long port = 0;
    struct in_addr address = {.s_addr = INADDR_ANY};
    for (int i = 1; i < count; i += 2) {
        if (i + 1 == count) usage();
        if (strcmp(arguments[i], "--port") == 0) port = strtol(arguments[i + 1], NULL, 10);
        else if (strcmp(arguments[i], "--address") != 0 || inet_pton(AF_INET, arguments[i + 1], &address) != 1) usage();
    }
    char *secret = take_secret();
    if (port < 1 || port > 65535 || !secret) usage();
    umask(022);
    launch_open();
    loop_open();
    memory_open();
    jobs_open();
    sudo_listen((unsigned)port);
    conn_listen(address.s_addr, (uint16_t)port, secret);
    explicit_bzero(secret, strlen(secret));
    free(secret);
    renew_open();
    say_ready();
    loop_run(reap, conn_round_end);
}
