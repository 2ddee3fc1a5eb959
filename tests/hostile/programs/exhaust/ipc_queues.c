// tries: Fill the kernel with System V queues, semaphores and segments, and POSIX queues.
// gvisor: limited or contained or denied
// container: limited or contained
#include "verdict.h"
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

int main(void) {
    struct {
        long kind;
        char text[4096];
    } message = {1, {0}};
    int queues = 0, sets = 0, segments = 0, posix = 0, queue;
    for (; queues < 1000 && (queue = msgget(IPC_PRIVATE, 0600)) >= 0; queues++)
        while (msgsnd(queue, &message, sizeof message.text, IPC_NOWAIT) == 0)
            ;
    while (sets < 1000 && semget(IPC_PRIVATE, 200, 0600) >= 0) sets++;
    while (segments < 1000 && shmget(IPC_PRIVATE, 1 << 20, 0600) >= 0) segments++;
    struct mq_attr large = {.mq_maxmsg = 10, .mq_msgsize = 8192};
    char name[30];
    do snprintf(name, sizeof name, "/q%d", posix);
    while (posix < 1000 && mq_open(name, O_CREAT | O_RDWR, 0600, &large) >= 0 && ++posix);
    limited("%d queues, %d sets, %d segments, %d POSIX queues: %s", queues, sets, segments, posix, strerror(errno));
}
