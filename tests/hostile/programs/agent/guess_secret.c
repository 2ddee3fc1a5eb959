// tries: Guess the agent's secret, hundreds of times.
// timeout: 40
// gvisor: denied
// container: denied
#include "verdict.h"
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/time.h>

int main(void) {
    int asked = 0;
    for (int turn = 0; turn < 300; turn++) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(1023), .sin_addr = {htonl(0x7f000001)}};
        int talk = socket(AF_INET, SOCK_STREAM, 0);
        struct timeval limit = {2, 0};
        setsockopt(talk, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        if (connect(talk, (void *)&to, sizeof to)) continue;
        unsigned char hello[64] = {52, 0, 0, 0, 1};
        unsigned size = 32;
        memcpy(hello + 20, &size, 4);
        memcpy(hello + 24, &turn, 4);
        char answer[300];
        if (write(talk, hello, sizeof hello) == sizeof hello && read(talk, answer, sizeof answer) > 12) asked++;
        if (answer[4] == 2) escaped("the secret was guessed");
        close(talk);
    }
    denied("%d of 300 guesses were answered, none let in", asked);
}
