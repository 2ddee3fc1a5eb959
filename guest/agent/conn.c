#include "conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "requests.h"
#include "sha256.h"

enum {
    MAX_CONNECTIONS = 16,
    MAX_STRANGERS = 16, /* connections that have not said HELLO yet */
    HELLO_MS = 3000,
    MAX_CHANNELS = 1024,
    BUCKETS = 256,
    IN_CAPACITY = 2 * (FRAME_HEADER + FRAME_MAX),
    SMALL_CHUNK = 4096,
    OUT_LOW = 256 * 1024,  /* below: producers are asked for more */
    OUT_HIGH = 768 * 1024, /* above: producers wait */
    OUT_HARD = 2048 * 1024, /* above: no further request is read */
    SECRET_MAX = 256,
    STRANGER_MAX = SECRET_MAX + 16, /* bytes of a frame before HELLO is accepted */
    CREDIT_MAX = 1 << 30,
};

struct conn {
    struct source source;
    struct conn *next;
    struct timer hello;
    bool known, dead, blocked;
    uint8_t *in;
    size_t in_length;
    struct chunk *out, **out_tail;
    struct chunk *out_last;
    size_t out_bytes;
    struct channel *buckets[BUCKETS];
    struct channel *first, *last, *pump_next;
    unsigned channels;
};

static struct source listener;
static struct conn *conns;
/* Of the secret: whoever reads the agent's memory, as root may inside, cannot say HELLO by it. */
static uint8_t secret_digest[SHA256_SIZE];
static uint64_t nonce; /* tells a host whether the process ids that it knows are this agent's */

/* ---- queue of bytes to send ---- */

static void free_chunk(struct chunk *chunk) { free(chunk); }

static struct chunk *new_chunk(size_t capacity) {
    struct chunk *chunk = malloc(sizeof *chunk + capacity);
    if (!chunk) return NULL;
    *chunk = (struct chunk){.capacity = capacity, .release = free_chunk, .data = (uint8_t *)(chunk + 1)};
    return chunk;
}

static void enqueue(struct conn *conn, struct chunk *chunk) {
    chunk->next = NULL;
    *conn->out_tail = chunk;
    conn->out_tail = &chunk->next;
    conn->out_last = chunk;
    conn->out_bytes += chunk->length;
}

static uint8_t *reserve(struct conn *conn, size_t size) {
    struct chunk *tail = conn->out_last;
    if (!tail || tail->release != free_chunk || tail->capacity - tail->length < size) {
        tail = new_chunk(size > SMALL_CHUNK ? size : SMALL_CHUNK);
        if (!tail) {
            conn->dead = true;
            return NULL;
        }
        enqueue(conn, tail);
    }
    uint8_t *at = tail->data + tail->length;
    tail->length += size;
    conn->out_bytes += size;
    return at;
}

static void send_frame(struct conn *conn, uint8_t type, uint8_t flags, uint32_t channel, const void *payload,
                       size_t length) {
    if (conn->dead) return;
    uint8_t *at = reserve(conn, FRAME_HEADER + length);
    if (!at) return;
    header_put(at, type, flags, channel, (uint32_t)length);
    if (length) memcpy(at + FRAME_HEADER, payload, length);
}

static void send_error(struct conn *conn, uint32_t channel, enum error_code code, int number, const char *format,
                       va_list arguments) {
    char message[1024];
    vsnprintf(message, sizeof message, format, arguments);
    uint8_t payload[sizeof message + 16];
    struct writer writer = {.data = payload, .capacity = sizeof payload};
    put_u16(&writer, (uint16_t)code);
    put_u32(&writer, (uint32_t)number);
    put_text(&writer, message);
    send_frame(conn, FRAME_ERROR, FLAG_FINAL, channel, payload, writer.length);
}

/* The connection's own error: it is told why, and ends. */
__attribute__((format(printf, 3, 4))) static void give_up(struct conn *conn, enum error_code code, const char *format,
                                                          ...) {
    va_list arguments;
    va_start(arguments, format);
    send_error(conn, 0, code, 0, format, arguments);
    va_end(arguments);
    conn->dead = true;
}

/* ---- channels ---- */

static struct channel *find(struct conn *conn, uint32_t id) {
    struct channel *channel = conn->buckets[id % BUCKETS];
    while (channel && channel->id != id) channel = channel->in_bucket;
    return channel;
}

static void unlink_channel(struct channel *channel) {
    struct conn *conn = channel->conn;
    struct channel **at = &conn->buckets[channel->id % BUCKETS];
    while (*at != channel) at = &(*at)->in_bucket;
    *at = channel->in_bucket;
    if (conn->pump_next == channel) conn->pump_next = channel->next;
    if (channel->previous) channel->previous->next = channel->next;
    else conn->first = channel->next;
    if (channel->next) channel->next->previous = channel->previous;
    else conn->last = channel->previous;
    conn->channels--;
}

static void append_channel(struct conn *conn, struct channel *channel) {
    channel->next = NULL;
    channel->previous = conn->last;
    if (conn->last) conn->last->next = channel;
    else conn->first = channel;
    conn->last = channel;
}

bool channel_open(struct channel *channel, struct request *request, const struct channel_operations *operations) {
    struct conn *conn = request->conn;
    if (conn->channels >= MAX_CHANNELS) {
        request_fail(request, ERROR_LIMIT, 0, "more than %d calls at once on one connection", MAX_CHANNELS);
        return false;
    }
    *channel = (struct channel){
        .conn = conn,
        .id = request->id,
        .send_credit = INITIAL_CREDIT,
        .receive_credit = INITIAL_CREDIT,
        .operations = operations,
        .in_bucket = conn->buckets[request->id % BUCKETS],
    };
    conn->buckets[request->id % BUCKETS] = channel;
    append_channel(conn, channel);
    conn->channels++;
    return true;
}

bool channel_has_room(struct channel *channel) {
    return !channel->conn->dead && channel->conn->out_bytes < OUT_HIGH;
}

void channel_send(struct channel *channel, uint8_t type, uint8_t flags, const void *payload, size_t length) {
    send_frame(channel->conn, type, flags, channel->id, payload, length);
}

void channel_send_charged(struct channel *channel, uint8_t type, const void *head, size_t head_length,
                          const struct slice *body, int pieces) {
    struct conn *conn = channel->conn;
    size_t length = head_length;
    for (int i = 0; i < pieces; i++) length += body[i].length;
    channel->send_credit -= charge(length);
    if (conn->dead) return;
    uint8_t *at = reserve(conn, FRAME_HEADER + length);
    if (!at) return;
    header_put(at, type, 0, channel->id, (uint32_t)length);
    at += FRAME_HEADER;
    memcpy(at, head, head_length);
    at += head_length;
    for (int i = 0; i < pieces; i++) {
        if (body[i].length) memcpy(at, body[i].data, body[i].length);
        at += body[i].length;
    }
}

void channel_send_chunk(struct channel *channel, struct chunk *chunk) {
    if (channel->conn->dead) chunk->release(chunk);
    else enqueue(channel->conn, chunk);
}

void channel_grant(struct channel *channel, uint32_t bytes) {
    channel->receive_credit += bytes;
    channel_send(channel, FRAME_WINDOW, 0, &bytes, sizeof bytes);
}

void channel_finish(struct channel *channel, const void *payload, size_t length) {
    channel_send(channel, FRAME_REPLY, FLAG_FINAL, payload, length);
    unlink_channel(channel);
}

void channel_fail(struct channel *channel, enum error_code code, int number, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    send_error(channel->conn, channel->id, code, number, format, arguments);
    va_end(arguments);
    unlink_channel(channel);
}

void request_reply(struct request *request, const void *payload, size_t length) {
    send_frame(request->conn, FRAME_REPLY, FLAG_FINAL, request->id, payload, length);
}

void request_fail(struct request *request, enum error_code code, int number, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    send_error(request->conn, request->id, code, number, format, arguments);
    va_end(arguments);
}

/* ---- frames in ---- */

static bool same_secret(uint8_t *given, size_t length) {
    uint8_t digest[SHA256_SIZE], difference = 0;
    sha256(given, length, digest);
    if (length) explicit_bzero(given, length);
    for (int i = 0; i < SHA256_SIZE; i++) difference |= secret_digest[i] ^ digest[i];
    return difference == 0;
}

static unsigned count(bool known) {
    unsigned total = 0;
    for (struct conn *conn = conns; conn; conn = conn->next) total += !conn->dead && conn->known == known;
    return total;
}

static void welcome(struct conn *conn, struct header *header, uint8_t *payload) {
    struct cursor cursor = {.at = payload, .left = header->length};
    uint16_t lowest = get_u16(&cursor), highest = get_u16(&cursor);
    size_t length;
    uint8_t *given = get_bytes(&cursor, &length);
    if (header->type != FRAME_HELLO || header->channel != 0 || cursor.bad || !same_secret(given, length)) {
        give_up(conn, ERROR_UNAUTHENTICATED, "the first frame must be HELLO with this sandbox's secret");
        return;
    }
    if (lowest > PROTOCOL_VERSION || highest < OLDEST_VERSION) {
        give_up(conn, ERROR_INVALID, "this agent speaks version %d to %d", OLDEST_VERSION, PROTOCOL_VERSION);
        return;
    }
    if (count(true) >= MAX_CONNECTIONS) {
        give_up(conn, ERROR_LIMIT, "more than %d connections at once", MAX_CONNECTIONS);
        return;
    }
    timer_stop(&conn->hello);
    conn->known = true;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint8_t answer[32];
    struct writer writer = {.data = answer, .capacity = sizeof answer};
    put_u16(&writer, highest < PROTOCOL_VERSION ? highest : PROTOCOL_VERSION);
    put_u64(&writer, nonce);
    put_u64(&writer, (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
    send_frame(conn, FRAME_WELCOME, 0, 0, answer, writer.length);
}

static void on_channel_frame(struct conn *conn, struct header *header, uint8_t *payload) {
    struct channel *channel = find(conn, header->channel);
    if (!channel) return; /* it ended while this frame was on its way */
    switch (header->type) {
    case FRAME_WINDOW: {
        struct cursor cursor = {.at = payload, .left = header->length};
        uint64_t credit = (uint64_t)channel->send_credit + get_u32(&cursor);
        channel->send_credit = credit > CREDIT_MAX ? CREDIT_MAX : (uint32_t)credit;
        channel->operations->proceed(channel);
        return;
    }
    case FRAME_CANCEL:
        channel_fail(channel, ERROR_CANCELLED, 0, "cancelled");
        channel->operations->closed(channel);
        return;
    default:
        if (header->type != FRAME_END) {
            if (charge(header->length) > channel->receive_credit) {
                give_up(conn, ERROR_INVALID, "channel %u sent more than its credit", header->channel);
                return;
            }
            channel->receive_credit -= charge(header->length);
        }
        channel->operations->receive(channel, header->type, payload, header->length);
    }
}

static void on_frame(struct conn *conn, struct header *header, uint8_t *payload) {
    if (!conn->known) {
        welcome(conn, header, payload);
    } else if (header->channel == 0) {
        if (header->type == FRAME_PING) send_frame(conn, FRAME_PONG, 0, 0, payload, header->length);
        else give_up(conn, ERROR_INVALID, "frame type 0x%02x on channel 0", header->type);
    } else if (header->type >= FRAME_DATA && header->type <= FRAME_ENTRY) {
        on_channel_frame(conn, header, payload);
    } else if (find(conn, header->channel)) {
        give_up(conn, ERROR_INVALID, "channel %u is in use", header->channel);
    } else {
        struct request request = {
            .conn = conn,
            .id = header->channel,
            .type = header->type,
            .flags = header->flags,
            .payload = {.at = payload, .left = header->length},
        };
        if (!request_handle(&request)) give_up(conn, ERROR_INVALID, "unknown frame type 0x%02x", header->type);
    }
}

static void parse(struct conn *conn) {
    size_t at = 0;
    while (!conn->dead && conn->in_length - at >= FRAME_HEADER && conn->out_bytes < OUT_HARD) {
        struct header header;
        bool possible = header_get(conn->in + at, &header);
        /* A stranger gets no more than a HELLO's worth of our memory. */
        if (!possible || (!conn->known && header.length > STRANGER_MAX)) {
            give_up(conn, ERROR_INVALID, "no such frame: %u bytes", header.length);
            break;
        }
        if (conn->in_length - at - FRAME_HEADER < header.length) break;
        on_frame(conn, &header, conn->in + at + FRAME_HEADER);
        at += FRAME_HEADER + header.length;
    }
    if (at == 0) return;
    conn->in_length -= at;
    memmove(conn->in, conn->in + at, conn->in_length);
}

/* ---- the socket ---- */

static void update_interest(struct conn *conn) {
    if (conn->dead) return;
    bool reading = conn->out_bytes < OUT_HARD && conn->in_length < IN_CAPACITY;
    loop_set(&conn->source, (reading ? EPOLLIN : 0u) | (conn->blocked ? EPOLLOUT : 0u));
}

static void flush_once(struct conn *conn) {
    while (conn->out && !conn->blocked) {
        struct iovec pieces[32];
        int count = 0;
        for (struct chunk *chunk = conn->out; chunk && count < 32; chunk = chunk->next)
            pieces[count++] = (struct iovec){chunk->data + chunk->sent, chunk->length - chunk->sent};
        ssize_t sent = writev(conn->source.fd, pieces, count);
        if (sent < 0) {
            if (errno == EINTR) continue;
            if (errno == EAGAIN) conn->blocked = true;
            else conn->dead = true;
            return;
        }
        conn->out_bytes -= (size_t)sent;
        while (conn->out && (size_t)sent >= conn->out->length - conn->out->sent) {
            struct chunk *done = conn->out;
            sent -= (ssize_t)(done->length - done->sent);
            conn->out = done->next;
            if (!conn->out) {
                conn->out_tail = &conn->out;
                conn->out_last = NULL;
            }
            done->release(done);
        }
        if (conn->out) conn->out->sent += (size_t)sent;
    }
}

static void pump(struct conn *conn) {
    if (!conn->first) return;
    /* Another goes first each time, so that none starves. */
    struct channel *foremost = conn->first;
    if (foremost->next) {
        conn->first = foremost->next;
        conn->first->previous = NULL;
        append_channel(conn, foremost);
    }
    struct channel *channel = conn->first;
    while (channel && conn->out_bytes < OUT_HIGH) {
        conn->pump_next = channel->next;
        channel->operations->proceed(channel);
        channel = conn->pump_next;
    }
    conn->pump_next = NULL;
}

static void flush(struct conn *conn) {
    while (!conn->dead && conn->out && !conn->blocked) {
        flush_once(conn);
        if (!conn->dead && conn->out_bytes < OUT_LOW) pump(conn);
        if (!conn->dead && conn->out_bytes < OUT_HARD && conn->in_length >= FRAME_HEADER) parse(conn);
    }
    update_interest(conn);
}

static void destroy(struct conn *conn) {
    while (conn->first) {
        struct channel *channel = conn->first;
        unlink_channel(channel);
        channel->operations->closed(channel);
    }
    conn->blocked = false;
    flush_once(conn); /* a last word, if the socket takes it */
    while (conn->out) {
        struct chunk *chunk = conn->out;
        conn->out = chunk->next;
        chunk->release(chunk);
    }
    timer_stop(&conn->hello);
    loop_close(&conn->source);
    free(conn->in);
    loop_free(conn);
}

void conn_round_end(void) {
    for (struct conn *conn = conns; conn; conn = conn->next)
        if (!conn->dead) flush(conn);
    struct conn **at = &conns;
    while (*at) {
        struct conn *conn = *at;
        if (conn->dead) {
            *at = conn->next;
            destroy(conn);
        } else {
            at = &conn->next;
        }
    }
}

static void on_socket(struct source *source, uint32_t events) {
    struct conn *conn = container_of(source, struct conn, source);
    if (conn->dead) return;
    if (events & EPOLLOUT) conn->blocked = false;
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)) || conn->in_length >= IN_CAPACITY) return;
    size_t room = conn->known ? IN_CAPACITY : FRAME_HEADER + STRANGER_MAX;
    if (room <= conn->in_length) return;
    ssize_t got = recv(source->fd, conn->in + conn->in_length, room - conn->in_length, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) conn->dead = true;
    if (got <= 0) return;
    conn->in_length += (size_t)got;
    parse(conn);
}

static void on_hello_late(struct timer *timer) { container_of(timer, struct conn, hello)->dead = true; }

static void drop_oldest_stranger(void) {
    struct conn *oldest = NULL;
    for (struct conn *conn = conns; conn; conn = conn->next) /* newest first */
        if (!conn->known && !conn->dead) oldest = conn;
    if (oldest) oldest->dead = true;
}

static void set_option(int fd, int level, int option, int value) { setsockopt(fd, level, option, &value, sizeof value); }

static void on_accept(struct source *source, uint32_t events) {
    (void)events;
    int fd = accept4(source->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (count(false) >= MAX_STRANGERS) drop_oldest_stranger();
    struct conn *conn = calloc(1, sizeof *conn);
    uint8_t *in = malloc(IN_CAPACITY);
    if (!conn || !in) {
        free(conn);
        free(in);
        close(fd);
        return;
    }
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    /* A host that vanished without a word must not hold processes back for ever. */
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    conn->in = in;
    conn->out_tail = &conn->out;
    conn->next = conns;
    conns = conn;
    loop_add(&conn->source, fd, EPOLLIN, on_socket);
    timer_start(&conn->hello, HELLO_MS, on_hello_late);
    on_socket(&conn->source, EPOLLIN); /* HELLO often comes with the connection */
}

static bool take_secret(const void *secret, size_t length) {
    if (length == 0 || length > SECRET_MAX) return false;
    sha256(secret, length, secret_digest);
    return true;
}

bool conn_renew(struct conn *asking, const void *secret, size_t length) {
    if (!take_secret(secret, length)) return false;
    for (struct conn *conn = conns; conn; conn = conn->next)
        if (conn != asking) conn->dead = true;
    return true;
}

void conn_listen(uint32_t address, uint16_t port, const char *secret) {
    if (!take_secret(secret, strlen(secret))) {
        fprintf(stderr, "sandlot agent: SANDLOT_SECRET must have 1 to %d bytes\n", SECRET_MAX);
        exit(2);
    }
    getrandom(&nonce, sizeof nonce, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = address};
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 64) < 0) {
        fprintf(stderr, "sandlot agent: cannot listen on port %u: %s\n", port, strerror(errno));
        exit(1);
    }
    loop_add(&listener, fd, EPOLLIN, on_accept);
}
