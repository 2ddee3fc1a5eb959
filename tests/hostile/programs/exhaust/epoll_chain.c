// tries: Build chains and webs of epolls that the kernel must walk at every event.
// gvisor: limited or contained or denied
// container: limited or contained
#include "verdict.h"
#include <sys/epoll.h>

int main(void) {
    int files[80], made = 0, added = 0;
    struct epoll_event event = {.events = EPOLLIN};
    while (made < 80 && (files[made] = epoll_create1(0)) >= 0) made++;
    for (int i = 0; i < made; i++)
        for (int j = 0; j < made; j++) added += i != j && epoll_ctl(files[i], EPOLL_CTL_ADD, files[j], &event) == 0;
    limited("%d epolls, %d edges, then %s", made, added, strerror(errno));
}
