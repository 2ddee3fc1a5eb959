#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, STANDSTILL_MS = 3000 };

/* What epoll reports is looked up here, never followed as a pointer: it may be about what is gone. */
struct registered {
    struct source *source;
    uint32_t generation;
};

static int epoll_fd = -1;
static struct registered *registry; /* by descriptor */
static size_t registry_size;
static uint32_t generation;
static bool released; /* something left during this round */
static struct timer *timers; /* soonest first */
static volatile sig_atomic_t child_signalled;

static void **corpses; /* a list apart: the dead must stay readable until the round is over */
static size_t corpse_count, corpse_capacity;

static void on_sigchld(int signum) {
    (void)signum;
    child_signalled = 1;
}

void loop_open(void) {
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    /* SIGCHLD is let in only while epoll waits, so the flag cannot be missed. */
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    struct sigaction action = {.sa_handler = on_sigchld, .sa_flags = SA_RESTART};
    sigaction(SIGCHLD, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
}

static uint64_t key_of(int fd) { return (uint64_t)registry[fd].generation << 32 | (uint32_t)fd; }

static void control(int operation, const struct source *source) {
    struct epoll_event event = {.events = source->events, .data.u64 = key_of(source->fd)};
    epoll_ctl(epoll_fd, operation, source->fd, &event);
}

bool loop_add(struct source *source, int fd, uint32_t events, void (*ready)(struct source *, uint32_t)) {
    *source = (struct source){.fd = -1};
    if (fd < 0) return false;
    if ((size_t)fd >= registry_size) {
        size_t size = (size_t)fd * 2 + 64;
        struct registered *grown = realloc(registry, size * sizeof *grown);
        if (!grown) return false;
        memset(grown + registry_size, 0, (size - registry_size) * sizeof *grown);
        registry = grown;
        registry_size = size;
    }
    *source = (struct source){.fd = fd, .events = events, .ready = ready};
    registry[fd] = (struct registered){source, ++generation};
    if (events) control(EPOLL_CTL_ADD, source);
    return true;
}

void loop_set(struct source *source, uint32_t events) {
    if (source->fd < 0 || source->events == events) return;
    /* A hang-up cannot be masked in epoll: an unwanted source leaves the set, or it would spin. */
    int operation = source->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    source->events = events;
    control(operation, source);
}

int loop_release(struct source *source) {
    int fd = source->fd;
    if (fd < 0) return -1;
    if (source->events != 0) control(EPOLL_CTL_DEL, source);
    registry[fd].source = NULL;
    released = true;
    source->fd = -1;
    source->events = 0;
    return fd;
}

void loop_close(struct source *source) {
    int fd = loop_release(source);
    if (fd >= 0) close(fd);
}

uint64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void timer_stop(struct timer *timer) {
    if (!timer->armed) return;
    if (timer->previous) timer->previous->next = timer->next;
    else timers = timer->next;
    if (timer->next) timer->next->previous = timer->previous;
    timer->armed = false;
}

void timer_start(struct timer *timer, uint64_t delay_ms, void (*fire)(struct timer *)) {
    timer_stop(timer);
    timer->at = now_ms() + delay_ms;
    timer->fire = fire;
    timer->armed = true;
    struct timer *before = NULL, *after = timers;
    while (after && after->at <= timer->at) {
        before = after;
        after = after->next;
    }
    timer->previous = before;
    timer->next = after;
    if (before) before->next = timer;
    else timers = timer;
    if (after) after->previous = timer;
}

static void fire_due(void) {
    if (!timers) return;
    uint64_t now = now_ms();
    while (timers && timers->at <= now) {
        struct timer *due = timers;
        timer_stop(due);
        due->fire(due);
    }
}

void loop_free(void *memory) {
    if (!memory) return;
    if (corpse_count == corpse_capacity) {
        size_t capacity = corpse_capacity ? corpse_capacity * 2 : 64;
        void **grown = realloc(corpses, capacity * sizeof *grown);
        if (!grown) return; /* a leak is better than a use after free */
        corpses = grown;
        corpse_capacity = capacity;
    }
    corpses[corpse_count++] = memory;
}

static void bury(void) {
    while (corpse_count) free(corpses[--corpse_count]);
}

static int wait_ms(uint64_t now) {
    if (!timers) return -1;
    if (timers->at <= now) return 0;
    uint64_t wait = timers->at - now;
    return wait > 3600000 ? 3600000 : (int)wait;
}

static struct source *look_up(uint64_t key) {
    uint32_t fd = (uint32_t)key;
    bool live = fd < registry_size && registry[fd].generation == key >> 32;
    return live ? registry[fd].source : NULL;
}

/* gVisor's epoll, after a restore, may for ever report a socket that was taken out of it. */
static void renew_epoll(void) {
    close(epoll_fd);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (size_t fd = 0; fd < registry_size; fd++)
        if (registry[fd].source && registry[fd].source->events) control(EPOLL_CTL_ADD, registry[fd].source);
}

static void dispatch(const struct epoll_event *events, int count) {
    bool stale = false;
    released = false;
    for (int i = 0; i < count; i++) {
        struct source *source = look_up(events[i].data.u64);
        if (source && source->events) source->ready(source, events[i].events);
        else stale |= !released;
    }
    if (stale) renew_epoll();
}

/* Time in which nothing here could run (frozen, or between a snapshot and its restore) counts against nobody. */
static void forgive(uint64_t waited_from, int wait) {
    if (wait < 0) return;
    uint64_t now = now_ms(), due = waited_from + (uint64_t)wait;
    if (now <= due + STANDSTILL_MS) return;
    for (struct timer *timer = timers; timer; timer = timer->next) timer->at += now - due;
}

void loop_run(void (*children)(void), void (*round_end)(void)) {
    sigset_t waiting;
    sigprocmask(SIG_BLOCK, NULL, &waiting);
    sigdelset(&waiting, SIGCHLD);
    struct epoll_event events[BATCH];
    for (;;) {
        uint64_t before = now_ms();
        int wait = wait_ms(before);
        int count = epoll_pwait(epoll_fd, events, BATCH, wait, &waiting);
        forgive(before, wait);
        dispatch(events, count);
        if (child_signalled) {
            child_signalled = 0;
            children();
        }
        fire_due();
        round_end();
        bury();
    }
}
