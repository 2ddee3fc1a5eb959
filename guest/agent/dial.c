#include "dial.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WINDOW = 256 * 1024, GRANT = 64 * 1024, READ_SIZE = 128 * 1024 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

struct dial {
    struct source source;
    struct channel channel;
    bool connecting, host_ended, guest_ended;
    uint16_t port;
    union address addresses[2];
    int tried, count;
    uint8_t *pending; /* from the host, not yet taken by the socket */
    size_t at, length;
    uint32_t owed; /* credit of frames taken */
};

static void discard(struct dial *dial) {
    loop_close(&dial->source);
    free(dial->pending);
    loop_free(dial);
}

static void fail(struct dial *dial, int number) {
    if (number == ECONNREFUSED)
        channel_fail(&dial->channel, ERROR_NOT_FOUND, number, "nothing listens on port %u in the sandbox", dial->port);
    else if (number == EPIPE)
        channel_fail(&dial->channel, ERROR_CONFLICT, number, "the program in the sandbox has closed the connection");
    else
        channel_fail(&dial->channel, ERROR_UNAVAILABLE, number, "port %u in the sandbox: %s", dial->port,
                     strerror(number));
    discard(dial);
}

static void update(struct dial *dial) {
    bool wants = !dial->connecting && !dial->guest_ended && dial->channel.send_credit >= MINIMUM_CHARGE &&
                 channel_has_room(&dial->channel);
    bool gives = dial->connecting || dial->pending;
    loop_set(&dial->source, (wants ? EPOLLIN : 0u) | (gives ? EPOLLOUT : 0u));
}

/* True when the channel is over, and `dial` with it. */
static bool finish_if_over(struct dial *dial) {
    if (!dial->guest_ended || !dial->host_ended || dial->pending) return false;
    channel_finish(&dial->channel, NULL, 0);
    discard(dial);
    return true;
}

static size_t put(struct dial *dial, const uint8_t *data, size_t length, int *number) {
    size_t done = 0;
    *number = 0;
    while (done < length) {
        ssize_t sent = send(dial->source.fd, data + done, length - done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) {
            if (errno != EAGAIN) *number = errno;
            break;
        }
        done += (size_t)sent;
    }
    return done;
}

static void settle_debt(struct dial *dial) {
    if (dial->pending || dial->owed < GRANT) return;
    channel_grant(&dial->channel, dial->owed);
    dial->owed = 0;
}

/* False when that broke the connection. */
static bool push_pending(struct dial *dial) {
    if (!dial->pending) return true;
    int number;
    dial->at += put(dial, dial->pending + dial->at, dial->length - dial->at, &number);
    if (number) {
        fail(dial, number);
        return false;
    }
    if (dial->at == dial->length) {
        free(dial->pending);
        dial->pending = NULL;
        settle_debt(dial);
        if (dial->host_ended) shutdown(dial->source.fd, SHUT_WR);
    }
    return true;
}

static bool keep(struct dial *dial, const uint8_t *data, size_t length) {
    if (length == 0) return true;
    if (!dial->pending) {
        dial->pending = malloc(WINDOW); /* credit lets no more come */
        dial->at = dial->length = 0;
    }
    if (!dial->pending || dial->length + length > WINDOW) return false;
    memcpy(dial->pending + dial->length, data, length);
    dial->length += length;
    return true;
}

static void dial_receive(struct channel *channel, uint8_t type, uint8_t *payload, size_t length) {
    struct dial *dial = container_of(channel, struct dial, channel);
    int number = 0;
    if (type == FRAME_END) {
        if (!dial->host_ended && !dial->pending && !dial->connecting) shutdown(dial->source.fd, SHUT_WR);
        dial->host_ended = true;
        finish_if_over(dial);
        return;
    }
    if (type != FRAME_DATA || dial->host_ended) return;
    dial->owed += charge(length);
    size_t done = dial->pending || dial->connecting ? 0 : put(dial, payload, length, &number);
    if (number == 0 && !keep(dial, payload + done, length - done)) number = ENOBUFS;
    if (number) {
        fail(dial, number);
        return;
    }
    settle_debt(dial);
    update(dial);
}

/* True when something came. */
static bool pull(struct dial *dial) {
    static uint8_t scratch[READ_SIZE];
    uint32_t credit = dial->channel.send_credit;
    if (dial->guest_ended || credit < MINIMUM_CHARGE || !channel_has_room(&dial->channel)) return false;
    ssize_t got = recv(dial->source.fd, scratch, credit < READ_SIZE ? credit : READ_SIZE, 0);
    if (got > 0) {
        struct slice data = {scratch, (size_t)got};
        channel_send_charged(&dial->channel, FRAME_DATA, NULL, 0, &data, 1);
        return true;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got < 0) {
        fail(dial, errno);
        return false;
    }
    dial->guest_ended = true;
    channel_send(&dial->channel, FRAME_END, 0, NULL, 0);
    finish_if_over(dial);
    return false;
}

static void dial_proceed(struct channel *channel) {
    struct dial *dial = container_of(channel, struct dial, channel);
    if (!dial->connecting) update(dial);
}

static void dial_closed(struct channel *channel) { discard(container_of(channel, struct dial, channel)); }

static const struct channel_operations dial_operations = {dial_receive, dial_proceed, dial_closed};

static void on_socket(struct source *source, uint32_t events);

/* The next address; false when none is left, with the errno of the last. */
static bool try_next(struct dial *dial, int *number) {
    while (dial->tried < dial->count) {
        union address *address = &dial->addresses[dial->tried++];
        int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        socklen_t size = address->any.sa_family == AF_INET ? sizeof address->v4 : sizeof address->v6;
        if (fd >= 0 && (connect(fd, &address->any, size) == 0 || errno == EINPROGRESS)) {
            int one = 1;
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
            loop_add(&dial->source, fd, EPOLLOUT, on_socket);
            return true;
        }
        *number = errno;
        if (fd >= 0) close(fd);
    }
    return false;
}

/* False when not connected, or no longer ours. */
static bool connected(struct dial *dial) {
    int number = 0;
    socklen_t size = sizeof number;
    getsockopt(dial->source.fd, SOL_SOCKET, SO_ERROR, &number, &size);
    if (number) {
        loop_close(&dial->source);
        if (!try_next(dial, &number)) fail(dial, number);
        return false;
    }
    dial->connecting = false;
    channel_send(&dial->channel, FRAME_REPLY, 0, NULL, 0);
    channel_grant(&dial->channel, WINDOW - INITIAL_CREDIT);
    if (!dial->pending && dial->host_ended) shutdown(dial->source.fd, SHUT_WR);
    return true;
}

static void on_socket(struct source *source, uint32_t events) {
    struct dial *dial = container_of(source, struct dial, source);
    if (dial->connecting && !connected(dial)) return;
    if ((events & (EPOLLOUT | EPOLLERR)) && !push_pending(dial)) return;
    for (int budget = 4; budget && pull(dial); budget--) continue;
    if (dial->source.fd >= 0 && !finish_if_over(dial)) update(dial);
}

static bool resolve(struct dial *dial, const char *host) {
    bool either = strcmp(host, "localhost") == 0;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(dial->port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(dial->port)};
    if (inet_pton(AF_INET, either ? "127.0.0.1" : host, &v4.sin_addr) == 1) dial->addresses[dial->count++].v4 = v4;
    if (inet_pton(AF_INET6, either ? "::1" : host, &v6.sin6_addr) == 1) dial->addresses[dial->count++].v6 = v6;
    return dial->count > 0;
}

void dial_open(struct request *request) {
    const char *host = get_text(&request->payload);
    uint16_t port = get_u16(&request->payload);
    int number = ECONNREFUSED;
    struct dial *dial = calloc(1, sizeof *dial);
    if (dial) {
        dial->port = port;
        dial->connecting = true;
        dial->source.fd = -1;
    }
    if (!dial || request->payload.bad || port == 0 || !resolve(dial, host)) {
        free(dial);
        request_fail(request, ERROR_INVALID, EINVAL, "dial an IP address, or localhost, and a port from 1 to 65535");
        return;
    }
    if (!channel_open(&dial->channel, request, &dial_operations)) free(dial);
    else if (!try_next(dial, &number)) fail(dial, number);
}
