// tries: Start threads without end.
// gvisor: limited or ended
// container: limited
#include "verdict.h"
#include <pthread.h>

static void *rest(void *unused) {
    pause();
    return unused;
}

int main(void) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 16384);
    for (int made = 0; made < 5000; made++) {
        pthread_t thread;
        int error = pthread_create(&thread, &small, rest, NULL);
        if (error) limited("%d threads, then %s", made, strerror(error));
    }
    escaped("5,000 threads, and no end");
}
