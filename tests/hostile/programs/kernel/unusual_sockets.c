// tries: Open sockets of every family and type: each is a part of the kernel that few have looked at.
// user: root
// gvisor: contained: gVisor's own UNIX, IP, netlink and packet sockets
// container: contained: UNIX, IP and netlink, no raw or packet sockets
#include "verdict.h"
#include <sys/socket.h>

int main(void) {
    int allowed[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET};
    char list[200] = "";
    for (int family = 0; family < 46; family++) {
        int opened = 0;
        for (int type = 1; type < 11; type++)
            for (int protocol = 0; protocol < 40; protocol++) {
                int made = socket(family, type, protocol);
                if (made < 0) continue;
                close(made);
                opened++;
            }
        if (!opened) continue;
        int known = 0;
        for (int i = 0; i < 5; i++) known |= family == allowed[i];
        if (!known) escaped("a socket of family %d was made", family);
        snprintf(list + strlen(list), sizeof list - strlen(list), " %d (%d kinds)", family, opened);
    }
    contained("families%s", list);
}
