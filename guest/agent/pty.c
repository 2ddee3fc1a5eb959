#include "pty.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { TTY_GROUP = 5 };

int pty_resize(int master, uint16_t rows, uint16_t columns) {
    struct winsize size = {.ws_row = rows, .ws_col = columns};
    return ioctl(master, TIOCSWINSZ, &size);
}

int pty_open(uid_t uid, uint16_t rows, uint16_t columns, int *master, int *slave) {
    int unlock = 0, number;
    char name[32];
    *slave = -1;
    *master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (*master < 0) return -1;
    if (ioctl(*master, TIOCSPTLCK, &unlock) < 0 || ioctl(*master, TIOCGPTN, &number) < 0) goto failed;
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    *slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (*slave < 0) goto failed;
    /* Programs such as screen open their terminal again by name. */
    if (fchown(*slave, uid, TTY_GROUP) == 0) fchmod(*slave, 0620);
    pty_resize(*master, rows, columns);
    return 0;
failed:
    number = errno;
    close(*master);
    errno = number;
    return -1;
}
