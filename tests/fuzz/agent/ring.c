/* The ring of a process's output against the plainest model of one: all bytes ever written. */
#include "ring.h"

#include <stdlib.h>
#include <string.h>

enum { MODEL_MAX = 1 << 18 };

static void check(const struct ring *ring, const uint8_t *model) {
    struct slice pieces[2];
    size_t held = (size_t)(ring->end - ring->start);
    if (ring->start > ring->end || held > ring->capacity || ring->capacity > ring->limit) abort();
    uint64_t at = ring->start;
    int count = ring_slices(ring, at, held, pieces);
    for (int i = 0; i < count; i++) {
        if (memcmp(pieces[i].data, model + at, pieces[i].length) != 0) abort();
        at += pieces[i].length;
    }
    if (at != ring->end) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t model[MODEL_MAX];
    uint64_t written = 0;
    if (size < 2) return 0;
    struct ring ring = {.limit = 1 + (data[0] | (size_t)(data[1] & 0x1f) << 8)};
    for (size_t i = 2; i + 1 < size; i += 2) {
        size_t length = data[i] | (size_t)(data[i + 1] & 0x3f) << 8;
        if (written + length > MODEL_MAX) break;
        for (size_t j = 0; j < length; j++) model[written + j] = (uint8_t)((written + j) * 31 + data[i + 1]);
        ring_append(&ring, model + written, length);
        written += length;
        if (ring.end != written) abort();
        check(&ring, model);
    }
    ring_free(&ring);
    return 0;
}
