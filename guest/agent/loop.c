#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64 };

static int epoll_fd = -1;
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

bool loop_add(struct source *source, int fd, uint32_t events, void (*ready)(struct source *, uint32_t)) {
    *source = (struct source){.fd = fd, .events = events, .ready = ready};
    struct epoll_event event = {.events = events, .data.ptr = source};
    return events == 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

void loop_set(struct source *source, uint32_t events) {
    if (source->fd < 0 || source->events == events) return;
    /* A hang-up cannot be masked in epoll: an unwanted source leaves the set, or it would spin. */
    int operation = source->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    struct epoll_event event = {.events = events, .data.ptr = source};
    epoll_ctl(epoll_fd, operation, source->fd, &event);
    source->events = events;
}

int loop_release(struct source *source) {
    int fd = source->fd;
    if (fd >= 0 && source->events != 0) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
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

static int wait_ms(void) {
    if (!timers) return -1;
    uint64_t now = now_ms();
    if (timers->at <= now) return 0;
    uint64_t wait = timers->at - now;
    return wait > 3600000 ? 3600000 : (int)wait;
}

void loop_run(void (*children)(void), void (*round_end)(void)) {
    sigset_t waiting;
    sigprocmask(SIG_BLOCK, NULL, &waiting);
    sigdelset(&waiting, SIGCHLD);
    struct epoll_event events[BATCH];
    for (;;) {
        int count = epoll_pwait(epoll_fd, events, BATCH, wait_ms(), &waiting);
        for (int i = 0; i < count; i++) {
            struct source *source = events[i].data.ptr;
            if (source->fd >= 0 && source->events) source->ready(source, events[i].events);
        }
        if (child_signalled) {
            child_signalled = 0;
            children();
        }
        fire_due();
        round_end();
        bury();
    }
}
