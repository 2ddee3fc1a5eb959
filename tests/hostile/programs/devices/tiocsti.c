// tries: Type into the terminal of whoever started it, with TIOCSTI and with the console's paste.
// gvisor: denied or contained
// container: denied or contained: terminals of the sandbox only
#include "verdict.h"
#include <sys/ioctl.h>

int main(void) {
    const char *terminals[] = {"/dev/tty", "/dev/console", "/dev/tty1", "/dev/pts/0", "/proc/1/fd/0", "/proc/1/fd/1"};
    int typed = 0;
    for (int i = 0; i < 6; i++) {
        int terminal = open(terminals[i], O_RDWR | O_NONBLOCK | O_NOCTTY);
        worked(terminals[i], terminal);
        if (terminal < 0) continue;
        typed += worked("TIOCSTI", ioctl(terminal, TIOCSTI, "x"));
        char paste[] = {3, 0};
        typed += worked("TIOCLINUX", ioctl(terminal, TIOCLINUX, paste));
    }
    if (typed) contained("%d letters typed at terminals of the sandbox", typed);
    denied("no terminal takes letters: %s", strerror(errno));
}
