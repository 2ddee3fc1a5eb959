// tries: Flood the network with packets as fast as it can, to the host and to the world.
// timeout: 5
// gvisor: contained
// container: contained
#include "verdict.h"
#include <arpa/inet.h>
#include <sys/socket.h>
#include <time.h>

int main(void) {
    char packet[1400] = {0}, *host = strtok(getenv("HOST_ADDRESSES"), " ");
    struct sockaddr_in world = {.sin_family = AF_INET, .sin_port = htons(9)}, near = world;
    inet_pton(AF_INET, "203.0.114.1", &world.sin_addr);
    inet_pton(AF_INET, host, &near.sin_addr);
    int talk = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    long sent = 0;
    for (time_t end = time(NULL) + 2; time(NULL) < end;)
        for (int i = 0; i < 100; i++) {
            sent += sendto(talk, packet, sizeof packet, 0, (void *)&world, sizeof world) > 0;
            sent += sendto(talk, packet, sizeof packet, 0, (void *)&near, sizeof near) > 0;
        }
    contained("%ld packets in two seconds", sent);
}
