// tries: Send packets with others' source addresses through raw and packet sockets.
// user: root
// gvisor: denied or contained: what does not bear its own address is dropped by the host
// container: denied
#include "verdict.h"
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <sys/socket.h>

int main(void) {
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), packet = socket(AF_PACKET, SOCK_RAW, htons(3));
    worked("raw", raw), worked("packet", packet);
    if (raw < 0 && packet < 0) denied("no raw socket: %s", strerror(errno));
    char bytes[40] = {0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6};
    inet_pton(AF_INET, "8.8.8.8", bytes + 12);
    struct sockaddr_in to = {.sin_family = AF_INET};
    inet_pton(AF_INET, getenv("HOST_ADDRESSES") ? strtok(getenv("HOST_ADDRESSES"), " ") : "127.0.0.1", &to.sin_addr);
    memcpy(bytes + 16, &to.sin_addr, 4);
    int sent = 0;
    for (int i = 0; i < 100; i++) sent += sendto(raw, bytes, sizeof bytes, 0, (void *)&to, sizeof to) > 0;
    contained("%d forged packets were handed to its own network", sent);
}
