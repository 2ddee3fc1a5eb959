#include "frame.h"

#include <errno.h>
#include <string.h>

enum error_code error_of(int number) {
    switch (number) {
    case ENOENT: case ENOTDIR: case ESRCH: case ENXIO: case ENODEV:
        return ERROR_NOT_FOUND;
    case EACCES: case EPERM: case EROFS:
        return ERROR_PERMISSION;
    case EEXIST: case ENOTEMPTY: case EBUSY: case ETXTBSY: case EPIPE:
        return ERROR_CONFLICT;
    case ENOSPC: case EDQUOT:
        return ERROR_NO_SPACE;
    case EINVAL: case EISDIR: case ENAMETOOLONG: case ELOOP: case E2BIG: case EXDEV: case ENOEXEC:
        return ERROR_INVALID;
    case EMFILE: case ENFILE: case ENOMEM: case EAGAIN: case EFBIG: case EMLINK:
        return ERROR_LIMIT;
    case ECANCELED:
        return ERROR_CANCELLED;
    case ECONNREFUSED:
        return ERROR_NOT_FOUND;
    case ETIMEDOUT: case EHOSTUNREACH: case ENETUNREACH: case ECONNRESET:
        return ERROR_UNAVAILABLE;
    default:
        return ERROR_INTERNAL;
    }
}

/* Both targets are little-endian, as the wire is. */
#define PUT(at, value) memcpy((at), &(value), sizeof(value))

void header_put(uint8_t *at, uint8_t type, uint8_t flags, uint32_t channel, uint32_t length) {
    uint16_t reserved = 0;
    PUT(at, length);
    at[4] = type;
    at[5] = flags;
    PUT(at + 6, reserved);
    PUT(at + 8, channel);
}

bool header_get(const uint8_t *at, struct header *header) {
    uint16_t reserved;
    memcpy(&header->length, at, 4);
    header->type = at[4];
    header->flags = at[5];
    memcpy(&reserved, at + 6, 2);
    memcpy(&header->channel, at + 8, 4);
    return header->length <= FRAME_MAX && reserved == 0;
}

static bool take(struct cursor *cursor, void *into, size_t size) {
    if (cursor->bad || cursor->left < size) {
        cursor->bad = true;
        memset(into, 0, size);
        return false;
    }
    memcpy(into, cursor->at, size);
    cursor->at += size;
    cursor->left -= size;
    return true;
}

uint8_t get_u8(struct cursor *cursor) {
    uint8_t value;
    take(cursor, &value, sizeof value);
    return value;
}

uint16_t get_u16(struct cursor *cursor) {
    uint16_t value;
    take(cursor, &value, sizeof value);
    return value;
}

uint32_t get_u32(struct cursor *cursor) {
    uint32_t value;
    take(cursor, &value, sizeof value);
    return value;
}

uint64_t get_u64(struct cursor *cursor) {
    uint64_t value;
    take(cursor, &value, sizeof value);
    return value;
}

uint8_t *get_bytes(struct cursor *cursor, size_t *length) {
    uint32_t size = get_u32(cursor);
    if (cursor->bad || cursor->left < size) {
        cursor->bad = true;
        *length = 0;
        return (uint8_t *)"";
    }
    uint8_t *start = cursor->at;
    cursor->at += size;
    cursor->left -= size;
    *length = size;
    return start;
}

char *get_text(struct cursor *cursor) {
    static char empty[1];
    size_t length;
    uint8_t *start = get_bytes(cursor, &length);
    if (cursor->bad || memchr(start, 0, length)) {
        cursor->bad = true;
        return empty;
    }
    char *text = (char *)start - 1;
    memmove(text, start, length);
    text[length] = 0;
    return text;
}

void put_raw(struct writer *writer, const void *from, size_t size) {
    if (writer->full || writer->capacity - writer->length < size) {
        writer->full = true;
        return;
    }
    if (size) memcpy(writer->data + writer->length, from, size);
    writer->length += size;
}

void put_u8(struct writer *writer, uint8_t value) { put_raw(writer, &value, sizeof value); }
void put_u16(struct writer *writer, uint16_t value) { put_raw(writer, &value, sizeof value); }
void put_u32(struct writer *writer, uint32_t value) { put_raw(writer, &value, sizeof value); }
void put_u64(struct writer *writer, uint64_t value) { put_raw(writer, &value, sizeof value); }

void put_bytes(struct writer *writer, const void *from, size_t size) {
    put_u32(writer, (uint32_t)size);
    put_raw(writer, from, size);
}

void put_text(struct writer *writer, const char *text) { put_bytes(writer, text, strlen(text)); }
