// tries: Reserve more disk than there is, at once and in pieces.
// gvisor: limited
// container: limited
#include "verdict.h"

int main(void) {
    int file = open("reserved", O_RDWR | O_CREAT, 0600);
    if (fallocate(file, 0, 0, 1L << 40) == 0) escaped("a TiB is reserved");
    long mib = 0;
    while (fallocate(file, 0, mib << 20, 1 << 20) == 0 && mib < 4000) mib++;
    if (mib >= 4000) escaped("%ld MiB are reserved", mib);
    limited("%ld MiB, then %s", mib, strerror(errno));
}
