/* Starting a program: no fork of the agent's memory, an error that says what was missing. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "frame.h"
#include "user.h"

struct launch {
    const char *file; /* NULL: the first argument */
    char **arguments;
    /* NULL, or the words that the shell of `arguments` would do no more with than exec them: that is tried first, and
     * saves its start. Whatever is in the way is left to the shell, and so is all where `premises` (premise.h; may be
     * NULL) do not hold. */
    char **words, **premises;
    char **environment;
    const char *directory; /* NULL: the home of the user, or / */
    int directory_fd;      /* used instead of `directory` when >= 0, whatever the user may enter */
    const struct user *user;
    int stdio[3];  /* any may be -1 for /dev/null */
    bool terminal; /* stdio[0] becomes the controlling terminal */
};

struct launch_failure {
    enum error_code code;
    int number;
    char message[512];
};

/* Lets the agent itself have as many open files as may be; programs start with the limit that there was. */
void launch_open(void);
/* The program runs in a session and process group of its own. -1 on failure. */
pid_t launch(const struct launch *launch, struct launch_failure *failure);

/* `given` plus what every program may count on: HOME, USER, LOGNAME, SHELL, PATH, and TERM on a terminal.
 * The array is malloc'ed; strings that had to be made live in it too. NULL when memory is out. */
char **environment_complete(char **given, const struct user *user, bool terminal);
/* Lets a sudo below an agent on another port than the usual one find it. */
void environment_add_port(unsigned port);
const char *environment_get(char **environment, const char *name);
