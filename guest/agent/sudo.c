#include "sudo.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch.h"
#include "loop.h"
#include "proc.h"
#include "pty.h"

enum { SESSIONS_MAX = 128, REQUEST_MS = 5000, LIST_MAX = 8192, REQUEST_MAX = 256 * 1024 };

static const char secure_path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
static const char *const kept[] = {"TERM", "COLORTERM", "LANG", "LANGUAGE", "TZ", "DISPLAY", "COLUMNS", "LINES"};

struct session {
    struct source source;
    struct session *next;
    struct timer deadline;
    struct ucred asker;
    bool known;
    int fds[SUDO_FDS];
    pid_t pid; /* 0 until started */
    uint8_t *in;
    size_t in_length;
};

struct wish {
    uint16_t flags, rows, columns;
    char *target, *directory;
    const char *file; /* what to execute, where that is not the first argument */
    char **arguments, **variables, **keep, **environment;
    struct user from, to;
};

static struct source listener;
static struct session *sessions;
static unsigned session_count;

socklen_t sudo_address(unsigned port, struct sockaddr_un *address) {
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "sandlot-sudo-%u", port);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static void close_fds(struct session *session) {
    for (int i = 0; i < SUDO_FDS; i++) {
        if (session->fds[i] >= 0) close(session->fds[i]);
        session->fds[i] = -1;
    }
}

static void end(struct session *session) {
    struct session **at = &sessions;
    while (*at != session) at = &(*at)->next;
    *at = session->next;
    session_count--;
    timer_stop(&session->deadline);
    loop_close(&session->source);
    close_fds(session);
    free(session->in);
    session->in = NULL;
    loop_free(session);
}

static void say(struct session *session, uint8_t type, const void *payload, size_t length, int descriptor) {
    uint8_t frame[FRAME_HEADER + 1024];
    header_put(frame, type, 0, 0, (uint32_t)length);
    if (length) memcpy(frame + FRAME_HEADER, payload, length);
    struct iovec piece = {frame, FRAME_HEADER + length};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof descriptor)];
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    if (descriptor >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof descriptor);
        memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    /* These few bytes fit the socket, or the program has gone. */
    sendmsg(session->source.fd, &message, MSG_NOSIGNAL);
}

static void refuse(struct session *session, const char *reason) {
    say(session, SUDO_REFUSED, reason, strnlen(reason, 1000), -1);
    end(session);
}

/* ---- what is run, and with which environment ---- */

static bool is_name_of(const char *variable, const char *name) {
    size_t length = strlen(name);
    return strncmp(variable, name, length) == 0 && variable[length] == '=';
}

static bool is_kept(const struct wish *wish, const char *variable) {
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (is_name_of(variable, kept[i])) return true;
    for (char **name = wish->keep; *name; name++)
        if (is_name_of(variable, *name)) return true;
    return strncmp(variable, "LC_", 3) == 0;
}

struct builder {
    char **list;
    size_t count, capacity;
    struct writer text;
};

/* Later ones win. */
static void set(struct builder *builder, const char *variable) {
    size_t name = strcspn(variable, "=") + 1;
    for (size_t i = 0; i < builder->count; i++) {
        if (strncmp(builder->list[i], variable, name) != 0) continue;
        builder->list[i] = (char *)variable;
        return;
    }
    if (builder->count + 1 < builder->capacity) builder->list[builder->count++] = (char *)variable;
    builder->list[builder->count] = NULL;
}

static void set_text(struct builder *builder, const char *name, const char *value) {
    char *start = (char *)builder->text.data + builder->text.length;
    put_raw(&builder->text, name, strlen(name));
    put_raw(&builder->text, "=", 1);
    put_raw(&builder->text, value, strlen(value) + 1);
    if (!builder->text.full) set(builder, start);
}

static void set_number(struct builder *builder, const char *name, unsigned value) {
    char text[16];
    snprintf(text, sizeof text, "%u", value);
    set_text(builder, name, text);
}

static void say_command(struct builder *builder, const struct wish *wish) {
    char command[1024] = "";
    size_t length = 0;
    for (char **word = wish->arguments; *word && length < sizeof command; word++)
        length += (size_t)snprintf(command + length, sizeof command - length, "%s%s", length ? " " : "", *word);
    set_text(builder, "SUDO_COMMAND", command);
}

static void build_environment(struct builder *builder, const struct wish *wish) {
    bool su = wish->flags & SUDO_IS_SU, login = wish->flags & SUDO_LOGIN;
    bool keep_all = (wish->flags & SUDO_KEEP) || (su && !login);
    for (char **variable = wish->environment; *variable; variable++)
        if (strchr(*variable, '=') && (su && login ? is_name_of(*variable, "TERM") : keep_all || is_kept(wish, *variable)))
            set(builder, *variable);
    if (!su || login) set(builder, secure_path);
    if (!(su && (wish->flags & SUDO_KEEP))) {
        if (!(wish->flags & SUDO_KEEP) || login || (wish->flags & SUDO_SET_HOME))
            set_text(builder, "HOME", wish->to.home);
        set_text(builder, "USER", wish->to.name);
        set_text(builder, "LOGNAME", wish->to.name);
        if (!(wish->flags & SUDO_KEEP)) set_text(builder, "SHELL", wish->to.shell);
    }
    if (!su) {
        set_text(builder, "SUDO_USER", wish->from.name);
        set_number(builder, "SUDO_UID", wish->from.uid);
        set_number(builder, "SUDO_GID", wish->from.gid);
        say_command(builder, wish);
    }
    for (char **variable = wish->variables; *variable; variable++) set(builder, *variable);
}

static pid_t start(struct session *session, struct wish *wish, const int stdio[3], bool terminal,
                   struct launch_failure *failure) {
    size_t count = 32;
    for (char **variable = wish->environment; *variable; variable++) count++;
    for (char **variable = wish->variables; *variable; variable++) count++;
    enum { TEXT = 8192 };
    struct builder builder = {.list = calloc(count + 1, sizeof(char *)), .capacity = count};
    builder.text = (struct writer){.data = malloc(TEXT), .capacity = TEXT};
    pid_t pid = -1;
    char **environment = NULL;
    if (builder.list && builder.text.data) {
        build_environment(&builder, wish);
        environment = environment_complete(builder.list, &wish->to, terminal);
    }
    if (environment) {
        bool home = (wish->flags & SUDO_LOGIN) && !*wish->directory;
        struct launch start = {
            .file = wish->file,
            .arguments = wish->arguments,
            .environment = environment,
            .directory = *wish->directory ? wish->directory : NULL,
            .directory_fd = *wish->directory || home ? -1 : session->fds[3],
            .user = &wish->to,
            .stdio = {stdio[0], stdio[1], stdio[2]},
            .terminal = terminal,
        };
        pid = launch(&start, failure);
    }
    free(environment);
    free(builder.text.data);
    free(builder.list);
    return pid;
}

/* ---- requests ---- */

static char **get_list(struct cursor *cursor) {
    uint32_t count = get_u32(cursor);
    char **list = cursor->bad || count > LIST_MAX ? NULL : malloc((count + 1) * sizeof *list);
    if (!list) {
        cursor->bad = true;
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) list[i] = get_text(cursor);
    list[count] = NULL;
    return list;
}

static bool allowed(const struct wish *wish) {
    return wish->from.uid == 0 || user_in_group(&wish->from, "sudo") || user_in_group(&wish->from, "wheel");
}

/* A shell in place of, or around, the command. */
static void choose_shell(struct wish *wish, char *words[4], char *name, size_t name_size) {
    const char *own = environment_get(wish->environment, "SHELL");
    const char *shell = (wish->flags & SUDO_IS_SU) || (wish->flags & SUDO_LOGIN) || !own ? wish->to.shell : own;
    if ((wish->flags & SUDO_IS_SU) && wish->arguments[0] && *wish->arguments[0]) shell = wish->arguments[0];
    const char *base = strrchr(shell, '/') ? strrchr(shell, '/') + 1 : shell;
    snprintf(name, name_size, "%s%s", wish->flags & SUDO_LOGIN ? "-" : "", base);
    char *command = wish->flags & SUDO_IS_SU ? (wish->arguments[0] ? wish->arguments[1] : NULL) : wish->arguments[0];
    int count = 0;
    wish->file = shell;
    words[count++] = name;
    if (command) {
        words[count++] = "-c";
        words[count++] = command;
    }
    words[count] = NULL;
}

static void run(struct session *session, struct wish *wish) {
    int master = -1, slave = -1, stdio[3];
    bool terminal = wish->flags & SUDO_TERMINAL;
    if (terminal && pty_open(wish->to.uid, wish->rows, wish->columns, &master, &slave) < 0) terminal = false;
    for (int i = 0; i < 3; i++)
        stdio[i] = terminal && (wish->flags & SUDO_TERMINAL << i) ? slave : session->fds[i];
    struct launch_failure failure = {.message = "the agent is out of memory"};
    pid_t pid = start(session, wish, stdio, terminal, &failure);
    if (slave >= 0) close(slave);
    close_fds(session);
    if (pid < 0) {
        if (master >= 0) close(master);
        refuse(session, failure.message);
        return;
    }
    session->pid = pid;
    say(session, SUDO_STARTED, NULL, 0, master);
    if (master >= 0) close(master);
}

static void decide(struct session *session, struct wish *wish) {
    char uid[16], message[512], name[256];
    snprintf(uid, sizeof uid, "%u", session->asker.uid);
    if (!session->known || !user_find(uid, &wish->from) || !allowed(wish)) {
        if (wish->flags & SUDO_IS_SU) snprintf(message, sizeof message, "Authentication failure");
        else snprintf(message, sizeof message, "%s is not in the sudo group of this sandbox", wish->from.name);
        refuse(session, message);
    } else if (!user_find(*wish->target == '#' ? wish->target + 1 : wish->target, &wish->to)) {
        snprintf(message, sizeof message, "no such user: %s", wish->target);
        refuse(session, message);
    } else if (wish->flags & SUDO_CHECK) {
        uint32_t outcome[2] = {0, 0};
        say(session, SUDO_EXIT, outcome, sizeof outcome, -1);
        end(session);
    } else if (wish->flags & (SUDO_SHELL | SUDO_LOGIN | SUDO_IS_SU)) {
        char *words[4], **original = wish->arguments;
        choose_shell(wish, words, name, sizeof name);
        wish->arguments = words;
        run(session, wish);
        wish->arguments = original;
    } else {
        run(session, wish);
    }
}

static void on_run(struct session *session, uint8_t *payload, size_t length) {
    struct cursor cursor = {.at = payload, .left = length};
    struct wish wish = {.flags = get_u16(&cursor)};
    wish.rows = get_u16(&cursor);
    wish.columns = get_u16(&cursor);
    wish.target = get_text(&cursor);
    wish.directory = get_text(&cursor);
    wish.arguments = get_list(&cursor);
    wish.variables = get_list(&cursor);
    wish.keep = get_list(&cursor);
    wish.environment = get_list(&cursor);
    bool whole = !cursor.bad && session->fds[SUDO_FDS - 1] >= 0;
    bool no_command = wish.flags & (SUDO_SHELL | SUDO_LOGIN | SUDO_IS_SU | SUDO_CHECK);
    timer_stop(&session->deadline);
    if (whole && (no_command || wish.arguments[0])) decide(session, &wish);
    else refuse(session, "malformed request");
    free(wish.arguments);
    free(wish.variables);
    free(wish.keep);
    free(wish.environment);
}

static void on_signal(struct session *session, uint8_t *payload, size_t length) {
    struct cursor cursor = {.at = payload, .left = length};
    uint32_t signum = get_u32(&cursor);
    if (cursor.bad || session->pid <= 0 || signum == 0 || signum >= NSIG) return;
    if (signum == SIGWINCH) proc_kill(session->pid, SIGWINCH); /* all of the session: gVisor's terminals tell nobody */
    else kill(-session->pid, (int)signum);
}

static void parse(struct session *session) {
    size_t at = 0;
    struct header header;
    while (session->in && session->in_length - at >= FRAME_HEADER) {
        if (!header_get(session->in + at, &header)) {
            session->in_length = 0;
            refuse(session, "malformed request");
            return;
        }
        if (session->in_length - at - FRAME_HEADER < header.length) break;
        uint8_t *payload = session->in + at + FRAME_HEADER;
        at += FRAME_HEADER + header.length;
        if (header.type == SUDO_RUN && session->pid == 0) on_run(session, payload, header.length);
        else if (header.type == SUDO_SIGNAL) on_signal(session, payload, header.length);
    }
    if (!session->in || !at) return;
    session->in_length -= at;
    memmove(session->in, session->in + at, session->in_length);
}

static void take_control(struct session *session, struct msghdr *message) {
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header; header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET) continue;
        if (header->cmsg_type == SCM_CREDENTIALS) {
            if (!session->known) memcpy(&session->asker, CMSG_DATA(header), sizeof session->asker);
            session->known = true;
        }
        if (header->cmsg_type != SCM_RIGHTS) continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + i * sizeof descriptor, sizeof descriptor);
            int place = 0;
            while (place < SUDO_FDS && session->fds[place] >= 0) place++;
            if (session->pid == 0 && place < SUDO_FDS) session->fds[place] = descriptor;
            else close(descriptor);
        }
    }
}

static void on_session(struct source *source, uint32_t events) {
    (void)events;
    struct session *session = container_of(source, struct session, source);
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(SUDO_FDS * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    struct iovec piece = {session->in + session->in_length, REQUEST_MAX + FRAME_HEADER - session->in_length};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(source->fd, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
        /* The program was killed: what it started must not outlive the limit that killed it. */
        if (session->pid > 0) proc_kill(session->pid, SIGKILL);
        end(session);
        return;
    }
    take_control(session, &message);
    session->in_length += (size_t)got;
    parse(session);
}

static void on_deadline(struct timer *timer) { end(container_of(timer, struct session, deadline)); }

static void begin(int fd) {
    int one = 1;
    struct session *session = session_count < SESSIONS_MAX ? calloc(1, sizeof *session) : NULL;
    uint8_t *in = session ? malloc(REQUEST_MAX + FRAME_HEADER) : NULL;
    if (!in) {
        free(session);
        close(fd);
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
    session->in = in;
    for (int i = 0; i < SUDO_FDS; i++) session->fds[i] = -1;
    session->next = sessions;
    sessions = session;
    session_count++;
    loop_add(&session->source, fd, EPOLLIN, on_session);
    timer_start(&session->deadline, REQUEST_MS, on_deadline);
    say(session, SUDO_HELLO, NULL, 0, -1);
}

static void on_accept(struct source *source, uint32_t events) {
    (void)events;
    int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) begin(fd);
}

bool sudo_exited(pid_t pid, int status) {
    for (struct session *session = sessions; session; session = session->next) {
        if (session->pid != pid) continue;
        uint32_t signum = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0;
        uint32_t outcome[2] = {signum ? 128 + signum : (uint32_t)WEXITSTATUS(status), signum};
        session->pid = -1;
        say(session, SUDO_EXIT, outcome, sizeof outcome, -1);
        end(session);
        return true;
    }
    return false;
}

pid_t sudo_asker(pid_t pid) {
    size_t count;
    struct proc *procs = proc_scan(&count);
    for (struct session *session = sessions; session; session = session->next) {
        if (session->pid <= 0) continue;
        proc_mark(procs, count, session->pid);
        for (size_t i = 0; i < count; i++)
            if (procs[i].marked && procs[i].pid == pid) return session->asker.pid;
    }
    return pid;
}

void sudo_listen(unsigned port) {
    struct sockaddr_un address;
    socklen_t length = sudo_address(port, &address);
    int one = 1, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, 64) < 0) {
        fprintf(stderr, "sandlot agent: no socket for sudo: %s\n", strerror(errno));
        if (fd >= 0) close(fd);
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
    if (port != SUDO_PORT) environment_add_port(port);
    loop_add(&listener, fd, EPOLLIN, on_accept);
}
