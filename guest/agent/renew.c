#include "renew.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DID_HOSTNAME = 1, DID_ENTROPY = 2, DID_GENERATION = 4 };
enum { HOSTNAME_MAX = 64 /* Linux has no longer ones */, ENTROPY_MAX = 4096 };

static const char folder[] = "/run/sandlot", file[] = "/run/sandlot/generation";

/* Written over in place: that needs no room on a full disk, and whoever watches the file itself hears of it. */
static bool write_generation(uint64_t generation) {
    char text[32];
    int length = snprintf(text, sizeof text, "%llu\n", (unsigned long long)generation);
    mkdir("/run", 0755);
    mkdir(folder, 0755);
    int fd = open(file, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);
    if (fd < 0) return false;
    bool written = pwrite(fd, text, (size_t)length, 0) == length && ftruncate(fd, length) == 0;
    close(fd);
    return written;
}

static bool mix(const uint8_t *entropy, size_t length) {
    int fd = open("/dev/urandom", O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return false;
    bool written = write(fd, entropy, length) == (ssize_t)length;
    close(fd);
    return written;
}

void renew_open(void) { write_generation(0); }

void renew_tell(struct request *request) {
    struct cursor *payload = &request->payload;
    size_t secret_length, entropy_length;
    uint8_t *secret = get_bytes(payload, &secret_length);
    uint64_t generation = get_u64(payload);
    const char *hostname = get_text(payload);
    const uint8_t *entropy = get_bytes(payload, &entropy_length);
    if (payload->bad || payload->left || entropy_length > ENTROPY_MAX || strlen(hostname) > HOSTNAME_MAX ||
        !conn_renew(request->conn, secret, secret_length)) {
        request_fail(request, ERROR_INVALID, 0, "malformed request");
        return;
    }
    explicit_bzero(secret, secret_length);
    uint8_t did = 0;
    if (*hostname && sethostname(hostname, strlen(hostname)) == 0) did |= DID_HOSTNAME;
    if (mix(entropy, entropy_length)) did |= DID_ENTROPY;
    /* Last: who sees it change finds the rest in place. */
    if (write_generation(generation)) did |= DID_GENERATION;
    request_reply(request, &did, sizeof did);
}
