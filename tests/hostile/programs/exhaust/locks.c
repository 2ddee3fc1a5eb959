// tries: Take file locks and leases without end.
// gvisor: limited or contained or ended or stopped
// container: limited or contained or ended or stopped
// timeout: 6
#include "verdict.h"

int main(void) {
    int file = open("locked", O_RDWR | O_CREAT, 0600);
    long taken = 0;
    for (; taken < 20000; taken++) {
        struct flock one = {.l_type = F_WRLCK, .l_start = taken * 2, .l_len = 1};
        if (fcntl(file, F_SETLK, &one)) break;
    }
    limited("%ld locks, then %s", taken, strerror(errno));
}
