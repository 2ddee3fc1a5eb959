/* Frames and payload fields. docs/agent-protocol.md is the specification. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROTOCOL_VERSION = 4,
    OLDEST_VERSION = 1, /* 2 adds ACTIVITY; 3 marks in a watch, links resolved, the owner of folders made;
                           4 RENEW */
    FRAME_HEADER = 12,
    FRAME_MAX = 256 * 1024,
    INITIAL_CREDIT = 64 * 1024,
    MINIMUM_CHARGE = 64, /* of credit, for a charged frame however small */
};

enum frame_type {
    FRAME_HELLO = 0x01,
    FRAME_WELCOME = 0x02,
    FRAME_PING = 0x03,
    FRAME_PONG = 0x04,

    FRAME_REPLY = 0x10,
    FRAME_ERROR = 0x11,
    FRAME_DATA = 0x12,
    FRAME_END = 0x13,
    FRAME_WINDOW = 0x14,
    FRAME_CANCEL = 0x15,
    FRAME_ENTRY = 0x16,
    FRAME_OUTPUT = 0x17,

    FRAME_SPAWN = 0x20,
    FRAME_ATTACH = 0x21,
    FRAME_PROCESSES = 0x22,
    FRAME_STDIN = 0x23,
    FRAME_SIGNAL = 0x24,
    FRAME_RESIZE = 0x25,
    FRAME_OOM_KILL = 0x26,
    FRAME_STATS = 0x27,
    FRAME_DIAL = 0x28,
    FRAME_ACTIVITY = 0x29,
    FRAME_RENEW = 0x2A,

    FRAME_STAT = 0x30,
    FRAME_LIST = 0x31,
    FRAME_READ = 0x32,
    FRAME_WRITE = 0x33,
    FRAME_MKDIR = 0x34,
    FRAME_MOVE = 0x35,
    FRAME_COPY = 0x36,
    FRAME_REMOVE = 0x37,
    FRAME_CHMOD = 0x38,
    FRAME_CHOWN = 0x39,
    FRAME_WATCH = 0x3A,
    FRAME_READ_TREE = 0x3B,
    FRAME_WRITE_TREE = 0x3C,
};

enum { FLAG_FINAL = 0x01 };

enum error_code {
    ERROR_NOT_FOUND = 1,
    ERROR_INVALID = 2,
    ERROR_PERMISSION = 3,
    ERROR_CONFLICT = 4,
    ERROR_LIMIT = 5,
    ERROR_NO_SPACE = 6,
    ERROR_UNAVAILABLE = 7,
    ERROR_CANCELLED = 8,
    ERROR_INTERNAL = 9,
    ERROR_UNAUTHENTICATED = 10,
};

/* The class of an errno. */
enum error_code error_of(int number);

/* What a DATA, ENTRY or OUTPUT frame costs of its channel's credit. */
static inline uint32_t charge(size_t length) {
    return length > MINIMUM_CHARGE ? (uint32_t)length : MINIMUM_CHARGE;
}

struct header {
    uint32_t length;
    uint8_t type, flags;
    uint32_t channel;
};
void header_put(uint8_t *at, uint8_t type, uint8_t flags, uint32_t channel, uint32_t length);
/* False when no such frame can be: too long, or reserved bits set. */
bool header_get(const uint8_t *at, struct header *header);

/* Reads fields off a payload. After any shortfall `bad` is set and every further field is zero or empty. */
struct cursor {
    uint8_t *at;
    size_t left;
    bool bad;
};
uint8_t get_u8(struct cursor *);
uint16_t get_u16(struct cursor *);
uint32_t get_u32(struct cursor *);
uint64_t get_u64(struct cursor *);
uint8_t *get_bytes(struct cursor *, size_t *length);
/* A string, ended in place: it is moved one byte down, over its own length field. Holding a NUL it is bad. */
char *get_text(struct cursor *);

/* Writes fields into bounded memory. What does not fit sets `full`. */
struct writer {
    uint8_t *data;
    size_t length, capacity;
    bool full;
};
void put_u8(struct writer *, uint8_t);
void put_u16(struct writer *, uint16_t);
void put_u32(struct writer *, uint32_t);
void put_u64(struct writer *, uint64_t);
void put_raw(struct writer *, const void *, size_t);
void put_bytes(struct writer *, const void *, size_t);
void put_text(struct writer *, const char *);
