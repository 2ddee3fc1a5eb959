// tries: Give itself every capability there is: capset, the ambient set, the bounding set.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"
#include <linux/capability.h>
#include <sys/prctl.h>

int main(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct had[2], all[2] = {{~0U, ~0U, ~0U}, {~0U, ~0U, ~0U}};
    syscall(SYS_capget, &header, had);
    int done = worked("capset", syscall(SYS_capset, &header, all));
    for (int i = 0; i < 41; i++) {
        if (had[i / 32].permitted >> i % 32 & 1) continue;
        done += prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0) == 0;
        if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) > 0) done++, printf("capability %d is in the bounding set\n", i);
    }
    if (done) escaped("capabilities were gained");
    denied("none beyond %x: %s", had[0].permitted, strerror(errno));
}
