/* `sudo` and `su` without setuid, which gVisor does not honour: the program asks the agent over a unix socket and
 * hands over its open files; the agent decides by the kernel's word on who asks, and starts the command. */
#pragma once
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "frame.h"

enum { SUDO_PORT = 1023, SUDO_FDS = 4 /* stdin, stdout, stderr, working directory */ };

/* Frames on that socket, with the protocol's own header. */
enum sudo_frame {
    SUDO_HELLO = 1,   /* agent: now it is known who you are */
    SUDO_RUN = 2,     /* program: the request, with SUDO_FDS descriptors and credentials */
    SUDO_STARTED = 3, /* agent: with the master of a terminal, where one was asked for */
    SUDO_SIGNAL = 4,  /* program: u32 */
    SUDO_EXIT = 5,    /* agent: u32 code, u32 signal */
    SUDO_REFUSED = 6, /* agent: text */
};

enum sudo_flag {
    SUDO_IS_SU = 1,
    SUDO_LOGIN = 2,      /* a login shell */
    SUDO_SHELL = 4,      /* a shell, of $SHELL or the user's */
    SUDO_KEEP = 8,       /* the whole environment */
    SUDO_SET_HOME = 16,
    SUDO_CHECK = 32,     /* only ask whether it would be allowed */
    SUDO_TERMINAL = 64,  /* shifted left by 0 to 2: which of stdin, stdout, stderr are terminals */
};

/* The address, of an agent that listens on `port`: abstract, so that it needs no writable folder. */
socklen_t sudo_address(unsigned port, struct sockaddr_un *address);

/* The agent's side. */
void sudo_listen(unsigned port);
bool sudo_exited(pid_t pid, int status);
/* The program on whose behalf `pid` runs, if it runs below a sudo; else `pid`. */
pid_t sudo_asker(pid_t pid);

/* The programs. */
int sudo_main(int count, char **arguments);
int su_main(int count, char **arguments);
