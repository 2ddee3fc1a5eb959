#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory.h"
#include "premise.h"

static char port_text[16];
static struct rlimit files_before;

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

enum stage { STAGE_SETUP, STAGE_USER, STAGE_DIRECTORY, STAGE_COMMAND };

/* Shared with the child, which runs on the agent's memory until it has exec'ed. */
struct child {
    const struct launch *launch;
    const char *path;
    volatile enum stage stage;
    volatile int number;
    volatile bool seen; /* a file of that name was there, though it could not be run */
    char **shell_environment; /* what a shell leaves to what it execs; NULL where nothing is tried before it */
    char program[PATH_MAX], directory[PATH_MAX];
};

static const char last_argument[] = "_=", working_directory[] = "PWD=", shell_level[] = "SHLVL=0";

static const char *file_of(const struct launch *launch) {
    return launch->file ? launch->file : launch->arguments[0];
}

const char *environment_get(char **environment, const char *name) {
    size_t length = strlen(name);
    for (; *environment; environment++)
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return *environment + length + 1;
    return NULL;
}

void environment_add_port(unsigned port) { snprintf(port_text, sizeof port_text, "%u", port); }

char **environment_complete(char **given, const struct user *user, bool terminal) {
    const struct {
        const char *name, *value;
    } defaults[] = {
        {"HOME", user->home},   {"USER", user->name},    {"LOGNAME", user->name},
        {"SHELL", user->shell}, {"PATH", default_path}, {"TERM", terminal ? "xterm-256color" : NULL},
        {"SANDLOT_AGENT_PORT", *port_text ? port_text : NULL},
    };
    enum { DEFAULTS = sizeof defaults / sizeof *defaults };
    size_t count = 0, text = 0;
    while (given[count]) count++;
    for (int i = 0; i < DEFAULTS; i++)
        if (defaults[i].value) text += strlen(defaults[i].name) + strlen(defaults[i].value) + 2;
    char **all = malloc((count + DEFAULTS + 1) * sizeof *all + text);
    if (!all) return NULL;
    memcpy(all, given, count * sizeof *all);
    char *at = (char *)(all + count + DEFAULTS + 1);
    for (int i = 0; i < DEFAULTS; i++) {
        all[count] = NULL;
        if (!defaults[i].value || environment_get(all, defaults[i].name)) continue;
        all[count++] = at;
        at += sprintf(at, "%s=%s", defaults[i].name, defaults[i].value) + 1;
    }
    all[count] = NULL;
    return all;
}

/* The agent's own parent may have had some ignored, and that would be inherited by all. Once, not in each child:
 * in gVisor every system call between fork and exec is felt. */
static void forget_signals(void) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    for (int signum = 1; signum < NSIG; signum++) sigaction(signum, &action, NULL);
}

void launch_open(void) {
    forget_signals();
    if (getrlimit(RLIMIT_NOFILE, &files_before) < 0) return;
    struct rlimit most = {files_before.rlim_max, files_before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &most);
}

static void reset_signals(void) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &action, NULL); /* the two that the loop changes */
    sigaction(SIGPIPE, &action, NULL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool place_stdio(const struct launch *launch) {
    int fds[3];
    /* First out of the way of 0-2, so that none overwrites another. */
    for (int i = 0; i < 3; i++) {
        int from = launch->stdio[i];
        if (from < 0) from = open("/dev/null", O_RDWR | O_CLOEXEC);
        fds[i] = fcntl(from, F_DUPFD_CLOEXEC, 3);
        if (fds[i] < 0) return false;
    }
    for (int i = 0; i < 3; i++)
        if (dup2(fds[i], i) < 0) return false;
    return true;
}

static bool enter_directory(const struct launch *launch) {
    if (launch->directory_fd >= 0) return true;
    if (launch->directory) return chdir(launch->directory) == 0;
    return chdir(launch->user->home) == 0 || chdir("/") == 0;
}

/* As execve, but what has no known format is a shell script, as execvp has it. */
static void execute(const char *file, const struct launch *launch) {
    execve(file, launch->arguments, launch->environment);
    if (errno != ENOEXEC) return;
    char *script[64] = {"sh", (char *)file};
    int count = 2;
    for (char **argument = launch->arguments + 1; *argument && count < 63; argument++) script[count++] = *argument;
    execve("/bin/sh", script, launch->environment);
    errno = ENOEXEC;
}

static void execute_in_path(struct child *child) {
    const char *name = file_of(child->launch);
    char file[PATH_MAX];
    struct stat status;
    int denied = 0;
    if (strchr(name, '/')) {
        execute(name, child->launch);
        int number = errno;
        child->seen = stat(name, &status) == 0;
        errno = number == EACCES && child->seen && S_ISDIR(status.st_mode) ? EISDIR : number;
        return;
    }
    for (const char *at = child->path; *name && at;) {
        const char *colon = strchr(at, ':');
        int length = colon ? (int)(colon - at) : (int)strlen(at);
        int size = snprintf(file, sizeof file, "%.*s%s%s", length, at, length ? "/" : "", name);
        at = colon ? colon + 1 : NULL;
        if (size >= (int)sizeof file) continue;
        execute(file, child->launch);
        if (errno == EACCES && stat(file, &status) == 0 && S_ISREG(status.st_mode)) denied = EACCES;
        if (errno == ENOENT && stat(file, &status) == 0) {
            child->seen = true;
            return;
        }
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) return;
    }
    errno = denied ? denied : ENOENT;
}

static bool is_program(const char *file) {
    struct stat status;
    return stat(file, &status) == 0 && S_ISREG(status.st_mode) && (status.st_mode & 0111);
}

/* What the shell would find, where it would find it for sure. Written after "_=". */
static const char *find_program(struct child *child) {
    const char *name = child->launch->words[0];
    char *file = child->program + strlen(last_argument);
    size_t room = sizeof child->program - strlen(last_argument);
    strcpy(child->program, last_argument);
    if (strchr(name, '/')) return (size_t)snprintf(file, room, "%s", name) < room && is_program(file) ? file : NULL;
    for (const char *at = child->path; *at == '/';) {
        size_t length = strcspn(at, ":");
        const char *slash = at[length - 1] == '/' ? "" : "/";
        if ((size_t)snprintf(file, room, "%.*s%s%s", (int)length, at, slash, name) >= room) return NULL;
        if (is_program(file)) return file;
        at += length;
        if (*at == ':') at++;
    }
    return NULL;
}

/* Returns where anything is not as plain as it seemed: then the shell does it, and says what it has to say. */
static void execute_words(struct child *child) {
    const struct launch *launch = child->launch;
    const char *program;
    if (!child->shell_environment || access(launch->arguments[0], X_OK) < 0) return;
    if (launch->premises && !premises_hold(launch->premises, launch->environment)) return;
    if (!(program = find_program(child))) return;
    strcpy(child->directory, working_directory);
    size_t offset = strlen(working_directory);
    if (getcwd(child->directory + offset, sizeof child->directory - offset))
        execve(program, launch->words, child->shell_environment);
}

static int run_child(void *argument) {
    struct child *child = argument;
    const struct launch *launch = child->launch;
    child->stage = STAGE_SETUP;
    reset_signals();
    if (files_before.rlim_max) setrlimit(RLIMIT_NOFILE, &files_before);
    if (launch->directory_fd >= 0 && fchdir(launch->directory_fd) < 0) goto failed;
    if (setsid() < 0 || !place_stdio(launch)) goto failed;
    if (launch->terminal && ioctl(0, TIOCSCTTY, 0) < 0) goto failed;
    umask(022);
    child->stage = STAGE_USER;
    if ((errno = user_drop(launch->user)) != 0) goto failed;
    child->stage = STAGE_DIRECTORY;
    if (!enter_directory(launch)) goto failed;
    child->stage = STAGE_COMMAND;
    execute_words(child);
    execute_in_path(child);
failed:
    child->number = errno;
    syscall(SYS_exit_group, 127);
    return 127;
}

static void explain(const struct child *child, struct launch_failure *failure) {
    const struct launch *launch = child->launch;
    const char *command = file_of(launch), *reason = strerror(child->number);
    char *message = failure->message;
    size_t size = sizeof failure->message;
    failure->number = child->number;
    failure->code = error_of(child->number);
    switch (child->stage) {
    case STAGE_SETUP:
        snprintf(message, size, "cannot start a process: %s", reason);
        break;
    case STAGE_USER:
        snprintf(message, size, "cannot become user %s: %s", launch->user->name, reason);
        break;
    case STAGE_DIRECTORY: {
        const char *directory = launch->directory ? launch->directory : "its working directory";
        if (child->number == ENOENT) snprintf(message, size, "no such directory: %s", directory);
        else snprintf(message, size, "cannot enter directory %s: %s", directory, reason);
        break;
    }
    case STAGE_COMMAND:
        if (child->number == ENOENT && child->seen)
            snprintf(message, size, "cannot run %s: the interpreter or loader that it asks for is missing", command);
        else if (child->number == ENOENT || child->number == ENOTDIR)
            snprintf(message, size, "command not found: %s", command);
        else if (child->number == EISDIR)
            snprintf(message, size, "cannot run %s: it is a directory", command);
        else
            snprintf(message, size, "cannot run %s: %s", command, reason);
    }
}

static char **environment_of_shell(struct child *child) {
    char **given = child->launch->environment;
    size_t count = 0;
    while (given[count]) count++;
    char **all = malloc((count + 4) * sizeof *all);
    if (!all) return NULL;
    memcpy(all, given, count * sizeof *all);
    all[count++] = child->directory;
    all[count++] = (char *)shell_level;
    all[count++] = child->program;
    all[count] = NULL;
    return all;
}

pid_t launch(const struct launch *launch, struct launch_failure *failure) {
    static _Alignas(16) char stack[96 * 1024];
    const char *path = environment_get(launch->environment, "PATH");
    struct child child = {.launch = launch, .path = path ? path : default_path};
    if (launch->words && launch->words[0]) child.shell_environment = environment_of_shell(&child);
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before); /* no handler may run in the child on our memory */
    pid_t pid = clone(run_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &child);
    int number = errno;
    sigprocmask(SIG_SETMASK, &before, NULL);
    free(child.shell_environment);
    if (pid < 0) {
        failure->number = number;
        failure->code = error_of(number);
        snprintf(failure->message, sizeof failure->message,
                 number == EAGAIN ? "cannot start a process: the sandbox has reached its limit of processes"
                                  : "cannot start a process: %s",
                 strerror(number));
        return -1;
    }
    memory_wake();
    if (child.number == 0) return pid;
    explain(&child, failure);
    return -1; /* the loop reaps it */
}
