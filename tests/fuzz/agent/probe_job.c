#include "job.c"
#include "probes.h"

bool probe_jobs(void) {
    pthread_mutex_lock(&lock);
    bool busy = false;
    for (int class = 0; class < JOB_CLASSES; class ++) busy |= queues[class] || running[class];
    pthread_mutex_unlock(&lock);
    return busy;
}
