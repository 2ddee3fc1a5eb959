// tries: Fork without end with vfork-fast children that ignore every signal.
// timeout: 4
// gvisor: stopped or limited or ended
// container: stopped or limited or ended
#include "verdict.h"
#include <signal.h>

int main(void) {
    for (int number = 1; number < 65; number++) signal(number, SIG_IGN);
    for (;;) {
        fork();
        setsid();
    }
}
