/* Headers, fields and texts of a frame: whatever the bytes, nothing outside them is touched. */
#include <stdlib.h>
#include <string.h>

#include "frame.h"

static void read_fields(struct cursor *cursor, uint8_t *plan, size_t length) {
    size_t size;
    for (size_t i = 0; i < length; i++) {
        uint8_t *before = cursor->at;
        switch (plan[i] % 6) {
        case 0: get_u8(cursor); break;
        case 1: get_u16(cursor); break;
        case 2: get_u32(cursor); break;
        case 3: get_u64(cursor); break;
        case 4:
            for (uint8_t *at = get_bytes(cursor, &size); size; size--) (void)*(volatile uint8_t *)&at[size - 1];
            break;
        default:
            if (strlen(get_text(cursor)) > FRAME_MAX) abort();
        }
        if (cursor->at < before) abort();
    }
}

static void write_fields(const uint8_t *data, size_t size) {
    uint8_t memory[64];
    struct writer writer = {.data = memory, .capacity = size % sizeof memory};
    for (size_t i = 0; i < size && i < 64; i++) {
        if (data[i] & 1) put_bytes(&writer, data, data[i] < size ? data[i] : size);
        else put_u64(&writer, data[i]);
        if (writer.length > writer.capacity) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct header header;
    uint8_t plan[16], again[FRAME_HEADER];
    if (size < FRAME_HEADER + sizeof plan) return 0;
    if (header_get(data, &header)) {
        header_put(again, header.type, header.flags, header.channel, header.length);
        if (memcmp(again, data, FRAME_HEADER) != 0) abort();
    }
    memcpy(plan, data + FRAME_HEADER, sizeof plan);
    size_t left = size - FRAME_HEADER - sizeof plan;
    uint8_t *payload = malloc(left + 1);
    memcpy(payload, data + FRAME_HEADER + sizeof plan, left);
    struct cursor cursor = {.at = payload, .left = left};
    read_fields(&cursor, plan, sizeof plan);
    write_fields(payload, left);
    free(payload);
    return 0;
}
