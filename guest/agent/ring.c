#include "ring.h"

#include <stdlib.h>
#include <string.h>

static bool grow(struct ring *ring, size_t needed) {
    size_t capacity = ring->capacity ? ring->capacity : 1024;
    while (capacity < needed) capacity *= 2;
    if (capacity > ring->limit) capacity = ring->limit;
    if (capacity <= ring->capacity) return true;
    uint8_t *data = malloc(capacity);
    if (!data) return false;
    struct slice pieces[2];
    int count = ring_slices(ring, ring->start, (size_t)(ring->end - ring->start), pieces);
    uint64_t at = ring->start;
    for (int i = 0; i < count; i++) {
        const uint8_t *from = pieces[i].data;
        for (size_t left = pieces[i].length; left;) {
            size_t place = at % capacity, run = capacity - place < left ? capacity - place : left;
            memcpy(data + place, from, run);
            from += run;
            at += run;
            left -= run;
        }
    }
    free(ring->data);
    ring->data = data;
    ring->capacity = capacity;
    return true;
}

void ring_append(struct ring *ring, const uint8_t *data, size_t length) {
    size_t held = (size_t)(ring->end - ring->start);
    if (held + length > ring->capacity && ring->capacity < ring->limit) grow(ring, held + length);
    if (length > ring->capacity) { /* only the tail can stay */
        ring->end += length - ring->capacity;
        data += length - ring->capacity;
        length = ring->capacity;
        ring->start = ring->end;
    }
    while (length) {
        size_t place = ring->end % ring->capacity, run = ring->capacity - place;
        if (run > length) run = length;
        memcpy(ring->data + place, data, run);
        ring->end += run;
        data += run;
        length -= run;
    }
    if (ring->end - ring->start > ring->capacity) ring->start = ring->end - ring->capacity;
}

int ring_slices(const struct ring *ring, uint64_t offset, size_t length, struct slice pieces[2]) {
    if (length == 0) return 0;
    size_t place = offset % ring->capacity, run = ring->capacity - place;
    if (run >= length) {
        pieces[0] = (struct slice){ring->data + place, length};
        return 1;
    }
    pieces[0] = (struct slice){ring->data + place, run};
    pieces[1] = (struct slice){ring->data, length - run};
    return 2;
}

void ring_free(struct ring *ring) {
    free(ring->data);
    ring->data = NULL;
    ring->capacity = 0;
    ring->start = ring->end;
}
