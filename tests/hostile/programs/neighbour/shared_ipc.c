// tries: Meet neighbours in System V and POSIX memory by agreed keys and names.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"
#include <mqueue.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

int main(void) {
    int found = 0;
    for (int key = 1; key < 3000; key++) {
        found += shmget(key, 0, 0) >= 0;
        found += semget(key, 0, 0) >= 0;
        found += msgget(key, 0) >= 0;
    }
    for (int id = 0; id < 3000; id++) {
        struct shmid_ds about;
        found += shmctl(id, SHM_STAT, &about) >= 0;
        struct msqid_ds queue;
        found += msgctl(id, MSG_STAT, &queue) >= 0;
    }
    mqd_t queue = mq_open("/meeting", O_RDWR);
    if (found || queue != (mqd_t)-1) escaped("%d things of others", found);
    denied("nothing of others: %s", strerror(errno));
}
