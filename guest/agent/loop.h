/* The one event loop: file descriptors, timers, and frees put off until no callback can hold the memory. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct source {
    int fd;
    uint32_t events;
    void (*ready)(struct source *source, uint32_t events);
};

struct timer {
    uint64_t at;
    bool armed;
    void (*fire)(struct timer *timer);
    struct timer *next, *previous;
};

#define container_of(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))

void loop_open(void);
/* Registered without EPOLLIN/EPOLLOUT a source still learns of hang-ups; pass no events to deregister the interest. */
bool loop_add(struct source *source, int fd, uint32_t events, void (*ready)(struct source *, uint32_t));
void loop_set(struct source *source, uint32_t events);
/* Deregisters and closes. Safe to call twice. */
void loop_close(struct source *source);
/* Deregisters and hands the descriptor back, open. */
int loop_release(struct source *source);

uint64_t now_ms(void); /* monotonic */
void timer_start(struct timer *timer, uint64_t delay_ms, void (*fire)(struct timer *));
void timer_stop(struct timer *timer);

/* Freed after the current round of callbacks. */
void loop_free(void *memory);

/* `children` runs after a SIGCHLD, `round_end` after every round of callbacks. */
void loop_run(void (*children)(void), void (*round_end)(void)) __attribute__((noreturn));
