/* The programs `sudo` and `su`: options, the request, and the relay of a terminal. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "sudo.h"

extern char **environ;

enum { LIST_MAX = 8192, REQUEST_MAX = 256 * 1024 };

struct list {
    char *items[LIST_MAX];
    unsigned count;
};

struct options {
    const char *program;
    uint16_t flags;
    const char *target, *directory;
    struct list arguments, variables, keep;
    bool nothing_to_run; /* -k, -K */
};

static struct options options;
static struct termios cooked;
static bool raw;

static void die(const char *message, const char *detail) {
    fprintf(stderr, "%s: %s%s%s\n", options.program, message, detail ? ": " : "", detail ? detail : "");
    exit(1);
}

static void add(struct list *list, char *item) {
    if (list->count == LIST_MAX) die("too many arguments", NULL);
    list->items[list->count++] = item;
}

static void help_sudo(int code) {
    fprintf(code ? stderr : stdout,
            "usage: sudo [-EHinsS] [-u user] [-D directory] [--preserve-env=list] [VAR=value] [command [arg ...]]\n"
            "       sudo -v | -k | -K | -l\n"
            "Asks the agent of this Sandlot sandbox; members of the group sudo or wheel need no password.\n");
    exit(code);
}

/* ---- options ---- */

static void keep_names(char *names) {
    for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) add(&options.keep, name);
}

static void check_only(void) { options.flags |= SUDO_CHECK; }

static void list_rights(void) {
    printf("The members of sudo and wheel may run the following commands in this sandbox:\n    (ALL : ALL) NOPASSWD: ALL\n");
    exit(0);
}

/* True when the option uses the value. */
static bool short_option(char letter, char *value) {
    switch (letter) {
    case 'E': options.flags |= SUDO_KEEP; return false;
    case 'H': options.flags |= SUDO_SET_HOME; return false;
    case 'i': options.flags |= SUDO_LOGIN; return false;
    case 's': options.flags |= SUDO_SHELL; return false;
    case 'n': case 'S': case 'A': case 'B': case 'P': case 'b': return false;
    case 'k': case 'K': options.nothing_to_run = true; return false;
    case 'v': check_only(); return false;
    case 'l': list_rights(); return false;
    case 'V': printf("sudo of Sandlot\n"); exit(0);
    case 'h': help_sudo(0); return false;
    case 'u': options.target = value; return true;
    case 'D': options.directory = value; return true;
    case 'p': case 'C': case 'T': case 'g': case 'r': case 't': case 'R':
        if (letter == 'g' || letter == 'R') die("this option is not supported", letter == 'g' ? "-g" : "-R");
        return true;
    default: help_sudo(1); return false;
    }
}

static void long_option(char *option, char **next, int *used) {
    static const struct {
        const char *name;
        char letter;
        bool has_value;
    } known[] = {
        {"preserve-env", 'E', false}, {"set-home", 'H', false},       {"login", 'i', false},
        {"shell", 's', false},        {"non-interactive", 'n', false}, {"stdin", 'S', false},
        {"reset-timestamp", 'k', false}, {"remove-timestamp", 'K', false}, {"validate", 'v', false},
        {"list", 'l', false},         {"version", 'V', false},        {"help", 'h', false},
        {"user", 'u', true},          {"chdir", 'D', true},           {"prompt", 'p', true},
        {"group", 'g', true},
    };
    char *equals = strchr(option, '=');
    size_t length = equals ? (size_t)(equals - option) : strlen(option);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strlen(known[i].name) != length || strncmp(option, known[i].name, length) != 0) continue;
        if (known[i].letter == 'E' && equals) {
            keep_names(equals + 1);
            return;
        }
        char *value = equals ? equals + 1 : NULL;
        if (known[i].has_value && !value) {
            value = *next;
            *used = 1;
            if (!value) help_sudo(1);
        }
        short_option(known[i].letter, value);
        return;
    }
    help_sudo(1);
}

static bool is_assignment(const char *text) {
    const char *equals = strchr(text, '=');
    return equals && equals != text && !memchr(text, '/', (size_t)(equals - text));
}

static char **sudo_options(char **at) {
    for (; *at && **at == '-' && (*at)[1]; at++) {
        if (strcmp(*at, "--") == 0) return at + 1;
        if ((*at)[1] == '-') {
            int used = 0;
            long_option(*at + 2, at + 1, &used);
            at += used;
            continue;
        }
        for (char *letter = *at + 1; *letter; letter++) {
            bool attached = letter[1] != 0;
            char *value = attached ? letter + 1 : at[1];
            bool takes = strchr("uDpCTgrtR", *letter) != NULL;
            if (takes && !value) help_sudo(1);
            if (!short_option(*letter, value)) continue;
            if (!attached) at++;
            break;
        }
    }
    return at;
}

/* The words as one command of a shell, as sudo hands them to it. */
static char *join_quoted(char **words) {
    size_t size = 1;
    for (char **word = words; *word; word++) size += 2 * strlen(*word) + 1;
    char *text = malloc(size), *at = text;
    if (!text) die("out of memory", NULL);
    for (char **word = words; *word; word++) {
        if (word != words) *at++ = ' ';
        for (const char *c = *word; *c; c++) {
            bool plain = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
                         strchr("_-$", *c) || (unsigned char)*c >= 128;
            if (!plain) *at++ = '\\';
            *at++ = *c;
        }
    }
    *at = 0;
    return text;
}

/* ---- the request ---- */

static void put_list(struct writer *writer, char **items, unsigned count) {
    put_u32(writer, count);
    for (unsigned i = 0; i < count; i++) put_text(writer, items[i]);
}

static int connect_agent(void) {
    const char *port = getenv("SANDLOT_AGENT_PORT");
    struct sockaddr_un address;
    socklen_t length = sudo_address(port ? (unsigned)strtoul(port, NULL, 10) : SUDO_PORT, &address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, length) < 0)
        die("cannot reach the agent of this sandbox", strerror(errno));
    return fd;
}

static bool read_all(int fd, void *into, size_t length) {
    uint8_t *at = into;
    while (length) {
        ssize_t got = read(fd, at, length);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        at += got;
        length -= (size_t)got;
    }
    return true;
}

static void write_all(int fd, const uint8_t *data, size_t length) {
    while (length) {
        ssize_t put = write(fd, data, length);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return;
        data += put;
        length -= (size_t)put;
    }
}

static void send_request(int fd, const uint8_t *frame, size_t length) {
    int fds[SUDO_FDS] = {0, 1, 2, open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (fds[3] < 0) fds[3] = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fds[3] < 0) fds[3] = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 3; i++)
        if (fcntl(i, F_GETFD) < 0) fds[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct ucred self = {.pid = getpid(), .uid = getuid(), .gid = getgid()};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fds) + CMSG_SPACE(sizeof self)];
    memset(control, 0, sizeof control);
    struct iovec piece = {(void *)frame, length};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(header), fds, sizeof fds);
    header = CMSG_NXTHDR(&message, header);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_CREDENTIALS;
    header->cmsg_len = CMSG_LEN(sizeof self);
    memcpy(CMSG_DATA(header), &self, sizeof self);
    ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    if (sent < 0) die("cannot ask the agent of this sandbox", strerror(errno));
    write_all(fd, frame + sent, length - (size_t)sent);
}

static void ask(int fd) {
    uint8_t *frame = malloc(REQUEST_MAX + FRAME_HEADER);
    if (!frame) die("out of memory", NULL);
    struct writer writer = {.data = frame + FRAME_HEADER, .capacity = REQUEST_MAX};
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    if (isatty(0)) {
        ioctl(0, TIOCGWINSZ, &size);
        for (int i = 0; i < 3; i++)
            if (isatty(i)) options.flags |= (uint16_t)(SUDO_TERMINAL << i);
    }
    unsigned variables = 0;
    while (environ[variables]) variables++;
    put_u16(&writer, options.flags);
    put_u16(&writer, size.ws_row);
    put_u16(&writer, size.ws_col);
    put_text(&writer, options.target);
    put_text(&writer, options.directory);
    put_list(&writer, options.arguments.items, options.arguments.count);
    put_list(&writer, options.variables.items, options.variables.count);
    put_list(&writer, options.keep.items, options.keep.count);
    put_list(&writer, environ, variables);
    if (writer.full) die("the arguments and environment are too long", NULL);
    header_put(frame, SUDO_RUN, 0, 0, (uint32_t)writer.length);
    send_request(fd, frame, FRAME_HEADER + writer.length);
    free(frame);
}

/* ---- while it runs ---- */

static void go_raw(void) {
    if (raw || tcgetattr(0, &cooked) < 0) return;
    struct termios terminal = cooked;
    cfmakeraw(&terminal);
    raw = tcsetattr(0, TCSADRAIN, &terminal) == 0;
}

static void go_cooked(void) {
    if (raw) tcsetattr(0, TCSADRAIN, &cooked);
    raw = false;
}

static void forward(int fd, uint32_t signum) {
    uint8_t frame[FRAME_HEADER + sizeof signum];
    header_put(frame, SUDO_SIGNAL, 0, 0, sizeof signum);
    memcpy(frame + FRAME_HEADER, &signum, sizeof signum);
    write_all(fd, frame, sizeof frame);
}

static void on_signal(int signals, int fd, int master) {
    struct signalfd_siginfo info;
    if (read(signals, &info, sizeof info) != sizeof info) return;
    struct winsize size;
    switch (info.ssi_signo) {
    case SIGWINCH:
        if (master >= 0 && ioctl(0, TIOCGWINSZ, &size) == 0) ioctl(master, TIOCSWINSZ, &size);
        forward(fd, SIGWINCH);
        return;
    case SIGTSTP:
        /* Its group is an orphaned one, which the kernel does not let stop by SIGTSTP. */
        forward(fd, SIGSTOP);
        go_cooked();
        raise(SIGSTOP);
        if (master >= 0) go_raw();
        forward(fd, SIGCONT);
        return;
    default:
        forward(fd, info.ssi_signo);
    }
}

static void finish(uint32_t code, uint32_t signum) {
    go_cooked();
    if (signum) { /* as the command ended, so its asker ends */
        sigset_t none;
        signal((int)signum, SIG_DFL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        if (signum != SIGKILL && signum != SIGSTOP) raise((int)signum);
    }
    exit((int)code);
}

/* What is still in the terminal when the command has ended. */
static void drain(int master) {
    uint8_t buffer[16 * 1024];
    struct pollfd last = {.fd = master, .events = POLLIN};
    while (master >= 0 && poll(&last, 1, 0) > 0) {
        ssize_t got = read(master, buffer, sizeof buffer);
        if (got <= 0) return;
        write_all(1, buffer, (size_t)got);
    }
}

static void on_answer(int fd, int *master) {
    uint8_t head[FRAME_HEADER], payload[1024] = {0};
    struct header header;
    struct iovec piece = {head, sizeof head};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) return;
    if (got <= 0 || !read_all(fd, head + got, sizeof head - (size_t)got) || !header_get(head, &header) ||
        header.length >= sizeof payload || !read_all(fd, payload, header.length)) {
        go_cooked();
        die("the agent of this sandbox went away", NULL);
    }
    struct cmsghdr *extra = CMSG_FIRSTHDR(&message);
    for (; extra; extra = CMSG_NXTHDR(&message, extra))
        if (extra->cmsg_level == SOL_SOCKET && extra->cmsg_type == SCM_RIGHTS)
            memcpy(master, CMSG_DATA(extra), sizeof *master);
    uint32_t outcome[2];
    switch (header.type) {
    case SUDO_STARTED:
        if (*master >= 0) go_raw();
        return;
    case SUDO_REFUSED:
        die((char *)payload, NULL);
        return;
    case SUDO_EXIT:
        memcpy(outcome, payload, sizeof outcome);
        drain(*master);
        finish(outcome[0], outcome[1]);
    }
}

static void relay(int from, int to, struct pollfd *entry) {
    uint8_t buffer[16 * 1024];
    ssize_t got = read(from, buffer, sizeof buffer);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (got <= 0) entry->fd = -1;
    else write_all(to, buffer, (size_t)got);
}

static int follow(int fd) {
    sigset_t caught;
    sigemptyset(&caught);
    const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGTSTP, SIGCONT, SIGWINCH};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) sigaddset(&caught, signals[i]);
    sigprocmask(SIG_BLOCK, &caught, NULL);
    signal(SIGPIPE, SIG_IGN);
    int master = -1;
    struct pollfd fds[4] = {
        {.fd = fd, .events = POLLIN},
        {.fd = signalfd(-1, &caught, SFD_CLOEXEC), .events = POLLIN},
        {.fd = -1, .events = POLLIN},
        {.fd = -1, .events = POLLIN},
    };
    for (;;) {
        if (poll(fds, 4, -1) < 0) continue;
        if (fds[2].revents) relay(0, master, &fds[2]);
        if (fds[3].revents) relay(master, 1, &fds[3]);
        if (fds[1].revents) on_signal(fds[1].fd, fd, master);
        if (!fds[0].revents) continue;
        int before = master;
        on_answer(fd, &master);
        if (before < 0 && master >= 0) {
            fcntl(master, F_SETFL, fcntl(master, F_GETFL) & ~O_NONBLOCK);
            fds[2].fd = 0;
            fds[3].fd = master;
        }
    }
}

static int run(void) {
    uint8_t hello[FRAME_HEADER];
    int fd = connect_agent();
    if (!read_all(fd, hello, sizeof hello)) die("the agent of this sandbox does not answer", NULL);
    ask(fd);
    return follow(fd);
}

int sudo_main(int count, char **arguments) {
    (void)count;
    options.program = "sudo";
    options.target = "root";
    options.directory = "";
    char **rest = sudo_options(arguments + 1);
    while (*rest && is_assignment(*rest)) add(&options.variables, *rest++);
    bool shell = options.flags & (SUDO_LOGIN | SUDO_SHELL);
    if (!*rest && options.nothing_to_run && !shell) return 0;
    if (!*rest && !shell && !(options.flags & SUDO_CHECK)) help_sudo(1);
    if (shell && *rest) add(&options.arguments, join_quoted(rest));
    else
        while (*rest) add(&options.arguments, *rest++);
    return run();
}

static void help_su(int code) {
    fprintf(code ? stderr : stdout, "usage: su [-] [-lmp] [-c command] [-s shell] [user]\n");
    exit(code);
}

int su_main(int count, char **arguments) {
    char *command = NULL, *shell = NULL;
    options.program = "su";
    options.target = "root";
    options.directory = "";
    options.flags = SUDO_IS_SU;
    bool named = false;
    for (int i = 1; i < count; i++) {
        char *word = arguments[i];
        char *value = i + 1 < count ? arguments[i + 1] : NULL;
        if (strcmp(word, "-") == 0 || strcmp(word, "-l") == 0 || strcmp(word, "--login") == 0) {
            options.flags |= SUDO_LOGIN;
        } else if (strcmp(word, "-c") == 0 || strcmp(word, "--command") == 0) {
            if (!value) help_su(1);
            command = arguments[++i];
        } else if (strcmp(word, "-s") == 0 || strcmp(word, "--shell") == 0) {
            if (!value) help_su(1);
            shell = arguments[++i];
        } else if (strncmp(word, "--command=", 10) == 0) {
            command = word + 10;
        } else if (strncmp(word, "--shell=", 8) == 0) {
            shell = word + 8;
        } else if (strcmp(word, "-m") == 0 || strcmp(word, "-p") == 0) {
            options.flags |= SUDO_KEEP;
        } else if (strcmp(word, "-P") == 0 || strcmp(word, "--pty") == 0) {
            continue; /* a terminal of its own it has anyway */
        } else if (*word == '-') {
            help_su(strcmp(word, "-h") != 0 && strcmp(word, "--help") != 0);
        } else if (!named) {
            options.target = word;
            named = true;
        } else {
            help_su(1);
        }
    }
    add(&options.arguments, shell ? shell : "");
    if (command) add(&options.arguments, command);
    return run();
}
