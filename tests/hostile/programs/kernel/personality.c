// tries: Switch off address randomisation and forbid read-only pages for its children by personality(2).
// gvisor: denied or contained
// container: denied
#include "verdict.h"
#include <sys/personality.h>

int main(void) {
    int old = personality(0xffffffff);
    int done = worked("ADDR_NO_RANDOMIZE", personality(ADDR_NO_RANDOMIZE));
    done += worked("READ_IMPLIES_EXEC", personality(READ_IMPLIES_EXEC));
    done += worked("MMAP_PAGE_ZERO", personality(MMAP_PAGE_ZERO));
    if (done) contained("its own personality was %x", old);
    denied("personality: %s", strerror(errno));
}
