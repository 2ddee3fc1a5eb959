/* The newest bytes of a stream, at absolute offsets. Grows on demand up to its limit. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "conn.h"

struct ring {
    uint8_t *data;
    size_t capacity, limit;
    uint64_t start, end;
};

/* Keeps all of it if `limit` allows, else drops the oldest. */
void ring_append(struct ring *ring, const uint8_t *data, size_t length);
/* The bytes from `offset` on, in one or two pieces; their number is returned. */
int ring_slices(const struct ring *ring, uint64_t offset, size_t length, struct slice pieces[2]);
void ring_free(struct ring *ring);
