/* Connections of the host, and the channels multiplexed on each: credit, queues, teardown. */
#pragma once
#include "frame.h"
#include "loop.h"

struct conn;
struct channel;

struct channel_operations {
    /* DATA, ENTRY or END from the host. The payload lives only during the call. */
    void (*receive)(struct channel *, uint8_t type, uint8_t *payload, size_t length);
    /* Credit came, or the connection has room again. */
    void (*proceed)(struct channel *);
    /* Cancelled, or the connection is gone: the owner forgets the channel and sends nothing more on it. */
    void (*closed)(struct channel *);
};

struct channel {
    struct conn *conn;
    uint32_t id;
    uint32_t send_credit, receive_credit;
    const struct channel_operations *operations;
    struct channel *in_bucket;
    struct channel *next, *previous;
};

struct slice {
    const void *data;
    size_t length;
};

struct request {
    struct conn *conn;
    uint32_t id;
    uint8_t type, flags;
    struct cursor payload;
};

/* Bytes on their way out. `release` gets the chunk back once sent or dropped. */
struct chunk {
    struct chunk *next;
    size_t length, sent, capacity;
    void (*release)(struct chunk *);
    uint8_t *data;
};

void conn_listen(uint32_t address, uint16_t port, const char *secret);
void conn_round_end(void);
/* From now on HELLO takes this secret only, and all other connections end. False when no secret can be like it. */
bool conn_renew(struct conn *asking, const void *secret, size_t length);

void request_reply(struct request *, const void *payload, size_t length);
void request_fail(struct request *, enum error_code, int number, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* False (and the request failed) when the connection has its fill of channels. */
bool channel_open(struct channel *, struct request *, const struct channel_operations *);
bool channel_has_room(struct channel *);
void channel_send(struct channel *, uint8_t type, uint8_t flags, const void *payload, size_t length);
/* A frame of `head` followed by `body`, charged to the channel's credit. The caller has made sure of room and credit. */
void channel_send_charged(struct channel *, uint8_t type, const void *head, size_t head_length,
                          const struct slice *body, int pieces);
/* Whole frames, already charged by the caller. */
void channel_send_chunk(struct channel *, struct chunk *);
void channel_grant(struct channel *, uint32_t bytes);
/* Both end the channel; its `closed` is not called. */
void channel_finish(struct channel *, const void *payload, size_t length);
void channel_fail(struct channel *, enum error_code, int number, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
