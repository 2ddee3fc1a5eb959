#include "requests.h"

#include "process.h"

static void (*const handlers[256])(struct request *) = {
    [FRAME_SPAWN] = process_spawn,
    [FRAME_ATTACH] = process_attach,
    [FRAME_PROCESSES] = process_list,
    [FRAME_STDIN] = process_stdin,
    [FRAME_SIGNAL] = process_signal,
    [FRAME_RESIZE] = process_resize,
};

bool request_handle(struct request *request) {
    if (!handlers[request->type]) return false;
    handlers[request->type](request);
    return true;
}
