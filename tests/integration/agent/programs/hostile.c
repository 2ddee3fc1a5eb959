/* A guest that replaces Sandlot's agent by a program of its own, as root inside a sandbox can.
 *
 *   hostile become MODE [PATH]   makes PID 1, the agent, execute this program (PATH: where it lies) in MODE
 *   hostile serve MODE           speaks on the agent's port, badly
 *
 * It knows no secret and asks for none. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PORT = 1023, HEADER = 12, FRAME_MAX = 256 * 1024 };
enum { HELLO = 1, WELCOME, PING, PONG, REPLY = 0x10, ERROR, DATA, END, WINDOW, CANCEL, ENTRY, OUTPUT };
enum { SPAWN = 0x20, ATTACH, PROCESSES, STATS = 0x27, DIAL, STAT = 0x30, LIST, READ, WRITE, WATCH = 0x3A, READ_TREE };

static const char *mode;
static uint8_t filler[FRAME_MAX];

static int is(const char *name) { return strcmp(mode, name) == 0; }

/* ---- taking PID 1 over ---- */

static void must(long result, const char *what) {
    if (result >= 0) return;
    perror(what);
    exit(1);
}

static void poke(unsigned long long at, const void *data, size_t length) {
    for (size_t done = 0; done < length; done += sizeof(long)) {
        long word = 0;
        memcpy(&word, (const char *)data + done, length - done < sizeof word ? length - done : sizeof word);
        must(ptrace(PTRACE_POKEDATA, 1, (void *)(at + done), (void *)word), "poke");
    }
}

static int become(const char *path) {
#ifdef __x86_64__
    struct user_regs_struct registers;
    int status;
    must(ptrace(PTRACE_ATTACH, 1, 0, 0), "attach");
    must(waitpid(1, &status, __WALL), "wait");
    /* First the command that this is ends well: its agent is let go, and caught again later. */
    must(ptrace(PTRACE_DETACH, 1, 0, 0), "detach");
    if (fork() != 0) return 0;
    setsid();
    usleep(300000);
    must(ptrace(PTRACE_ATTACH, 1, 0, 0), "attach");
    must(waitpid(1, &status, __WALL), "wait");
    must(ptrace(PTRACE_GETREGS, 1, 0, &registers), "registers");
    unsigned long long at = (registers.rsp - 8192) & ~15ull;
    const char *words[] = {path, "serve", mode};
    unsigned long long pointers[4] = {0};
    for (int i = 0; i < 3; i++) {
        pointers[i] = at + 256 * (i + 1);
        poke(pointers[i], words[i], strlen(words[i]) + 1);
    }
    poke(at, pointers, sizeof pointers);
    poke(registers.rip, "\x0f\x05\x0f\x0b\x0f\x0b\x0f\x0b", 8);
    registers.orig_rax = -1ull;
    registers.rax = 59; /* execve */
    registers.rdi = pointers[0];
    registers.rsi = at;
    registers.rdx = 0;
    must(ptrace(PTRACE_SETREGS, 1, 0, &registers), "set registers");
    must(ptrace(PTRACE_DETACH, 1, 0, 0), "detach");
    return 0;
#else
    (void)path, (void)poke;
    return 77;
#endif
}

/* ---- frames ---- */

static int fd;

static void give(const void *data, size_t length) {
    for (const char *at = data; length;) {
        ssize_t put = write(fd, at, length);
        if (put <= 0) _exit(0);
        at += put;
        length -= (size_t)put;
    }
}

static void take(void *into, size_t length) {
    for (char *at = into; length;) {
        ssize_t got = read(fd, at, length);
        if (got <= 0) _exit(0);
        at += got;
        length -= (size_t)got;
    }
}

static void frame(uint8_t type, int final, uint32_t channel, const void *payload, uint32_t length) {
    uint8_t header[HEADER] = {0};
    memcpy(header, &length, 4);
    header[4] = type;
    header[5] = (uint8_t)final;
    memcpy(header + 8, &channel, 4);
    give(header, HEADER);
    give(payload, length);
}

static size_t put32(uint8_t *at, uint32_t value) {
    memcpy(at, &value, 4);
    return 4;
}

static size_t put_text(uint8_t *at, const void *text, uint32_t length) {
    put32(at, length);
    memcpy(at + 4, text, length);
    return 4 + length;
}

/* One entry of a listing whose path has `length` bytes. */
static size_t put_info(uint8_t *at, uint64_t size, const void *path, uint32_t length) {
    size_t done = 0;
    at[done++] = 1;
    memcpy(at + done, &size, 8);
    done += 8;
    memset(at + done, 0xff, 20); /* mode, uid, gid, mtime */
    done += 20;
    done += put_text(at + done, path, length);
    done += put_text(at + done, "\xff\xfe", 2);
    done += put_text(at + done, "root", 4);
    at[done++] = 0;
    return done + put_text(at + done, "", 0);
}

static size_t put_process(uint8_t *at, uint32_t id) {
    size_t done = put32(at, id);
    done += put32(at + done, 1);
    at[done++] = 2;
    memset(at + done, 0, 8 + 25);
    done += 8 + 25; /* started, exit */
    done += put_text(at + done, "root", 4);
    done += put_text(at + done, "kernel/python/x", 15);
    done += put_text(at + done, filler, 4096);
    return done + put32(at + done, 0);
}

static void silence(void) {
    for (;;) pause();
}

static void endlessly(uint8_t type, uint32_t channel, const void *payload, uint32_t length) {
    for (;;) frame(type, 0, channel, payload, length);
}

/* ---- answers ---- */

static const uint8_t ones[64] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
                                 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
                                 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
static uint8_t memory[FRAME_MAX];

static void begin(uint8_t type, uint32_t channel) {
    const uint8_t started[8] = {1, 0, 0, 0, 1, 0, 0, 0};
    if (type == SPAWN || type == ATTACH) frame(REPLY, 0, channel, started, 8);
    else if (type == READ) frame(REPLY, 0, channel, memory, (uint32_t)put_info(memory, 10, "/a", 2));
    else frame(REPLY, 0, channel, "", 0);
}

static void lie_without_end(uint8_t type, uint32_t channel) {
    switch (type) {
    case PROCESSES:
        memory[0] = 1;
        static uint32_t id;
        frame(REPLY, 1, channel, memory, 1 + (uint32_t)put_process(memory + 1, ++id));
        return;
    case STATS: frame(REPLY, 1, channel, ones, 36); return;
    case STAT: frame(REPLY, 1, channel, memory, (uint32_t)put_info(memory, 10, "/\xff\xfe", 3)); return;
    case LIST:
        for (;;) frame(ENTRY, 0, channel, memory, (uint32_t)put_info(memory, 1, filler, 4096));
    case READ: begin(type, channel); endlessly(DATA, channel, filler, sizeof filler);
    case SPAWN: case ATTACH:
        begin(type, channel);
        memset(memory, 0, 9);
        memory[0] = 1;
        endlessly(OUTPUT, channel, memory, 64);
    case WATCH:
        begin(type, channel);
        memset(memory, 1, 2);
        for (;;) frame(ENTRY, 0, channel, memory, 2 + (uint32_t)put_text(memory + 2, filler, 4000));
    default: frame(ERROR, 1, channel, ones, 40);
    }
}

static void nonsense(uint8_t type, uint32_t channel) {
    if (type == STAT) frame(REPLY, 1, channel, memory, (uint32_t)put_info(memory, UINT64_MAX, "/a", 2));
    else frame(REPLY, 1, channel, ones, 64);
}

static void trickle(uint8_t type, uint32_t channel) {
    uint8_t header[HEADER] = {0, 0, 1, 0, type == READ ? DATA : REPLY, 1, 0, 0};
    memcpy(header + 8, &channel, 4);
    for (int i = 0; i < HEADER; i++, sleep(1)) give(header + i, 1);
    for (;; sleep(1)) give("x", 1);
}

static void answer(uint8_t type, uint32_t channel) {
    uint32_t little = 64, nothing = 0;
    if (type == CANCEL || type == WINDOW || type == PING) return;
    if (is("stall")) return;
    if (is("unauthenticated")) frame(ERROR, 1, channel, "\x0a\0\0\0\0\0\x03\0\0\0key", 13);
    if (is("window-flood")) endlessly(WINDOW, channel, &little, 4);
    if (is("empty-window")) endlessly(WINDOW, channel, &nothing, 4);
    if (is("pong-flood")) endlessly(PONG, 0, "", 0);
    if (is("error-flood")) endlessly(ERROR, 0, "\1\0\0\0\0\0\0\0\0\0", 10);
    if (is("strange-channel")) frame(DATA, 0, channel + 1, "x", 1);
    if (is("out-of-order")) frame(DATA, 0, channel, "x", 1);
    if (is("twice")) begin(type, channel), begin(type, channel);
    if (is("after-end")) begin(type, channel), frame(END, 0, channel, "", 0), frame(DATA, 0, channel, "x", 1);
    if (is("beyond-credit")) begin(type, channel), endlessly(OUTPUT, channel, filler, sizeof filler);
    if (is("empty-entries")) endlessly(ENTRY, channel, "", 0);
    if (is("nonsense")) nonsense(type, channel);
    if (is("lie")) lie_without_end(type, channel);
    if (is("trickle")) trickle(type, channel);
}

static void greet(void) {
    uint8_t welcome[18] = {1, 0, 7};
    uint8_t enormous[HEADER] = {255, 255, 255, 255, REPLY};
    if (is("silent")) silence();
    if (is("hang-up")) _exit(0);
    if (is("garbage"))
        for (;;) give(filler, sizeof filler);
    frame(WELCOME, 0, 0, welcome, sizeof welcome);
    if (is("enormous")) give(enormous, HEADER), silence();
    if (is("drop")) _exit(0);
    if (is("breach")) frame(DATA, 0, 7, "x", 1);
}

static void converse(void) {
    uint8_t header[HEADER], type;
    uint32_t length, channel;
    static uint8_t payload[FRAME_MAX];
    greet();
    for (;;) {
        take(header, HEADER);
        memcpy(&length, header, 4);
        memcpy(&channel, header + 8, 4);
        type = header[4];
        if (length > FRAME_MAX) _exit(1);
        take(payload, length);
        if (type != HELLO) answer(type, channel);
    }
}

static int serve(void) {
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    for (int i = 0; i < 256 * 1024; i++) filler[i] = (uint8_t)(i * 2654435761u >> 13);
    if (!is("garbage")) memset(filler, 'x', sizeof filler);
    while (bind(listener, (struct sockaddr *)&at, sizeof at) < 0) usleep(1000);
    listen(listener, 64);
    for (;;) {
        fd = accept(listener, NULL, NULL);
        if (fd < 0) continue;
        if (fork() == 0) converse();
        close(fd);
    }
}

int main(int count, char **arguments) {
    if (count < 3) return 2;
    mode = arguments[2];
    if (strcmp(arguments[1], "become") == 0) return become(count > 3 ? arguments[3] : arguments[0]);
    return serve();
}
