// tries: Call every system call number with nonsense, in twenty children, and look who survives.
// user: root
// gvisor: contained or stopped or ended
// container: contained or stopped or ended
// timeout: 25
#include "verdict.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static unsigned long seed = 88172645463325252UL;

static unsigned long any(void) {
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    unsigned long shapes[] = {0, 1, ~0UL, seed & 0xff, seed & 0xffff, seed, 4096, (unsigned long)&seed};
    return shapes[seed % 8];
}

static int harmful(long number) {
    long skip[] = {SYS_exit, SYS_exit_group, SYS_kill, SYS_tkill, SYS_tgkill, SYS_rt_sigreturn, SYS_pause,
                   SYS_reboot, SYS_wait4, SYS_waitid, SYS_ppoll, SYS_pselect6, SYS_rt_sigsuspend};
    for (unsigned i = 0; i < sizeof skip / sizeof *skip; i++)
        if (number == skip[i]) return 1;
    return 0;
}

int main(void) {
    int children = 0, signalled = 0;
    for (int round = 0; round < 20; round++) {
        seed += round;
        pid_t child = fork();
        if (child == 0) {
            setpgid(0, 0);
            struct rlimit small = {1 << 20, 1 << 20};
            setrlimit(RLIMIT_FSIZE, &small);
            for (int call = 0; call < 3000; call++) {
                long number = any() % 480;
                if (!harmful(number)) syscall(number, any(), any(), any(), any(), any(), any());
            }
            _exit(0);
        }
        int status = 0, tries = 0;
        while (waitpid(child, &status, WNOHANG) == 0 && tries++ < 100) usleep(5000);
        kill(-child, SIGKILL);
        kill(child, SIGKILL);
        if (tries >= 100) waitpid(child, &status, 0);
        children++, signalled += WIFSIGNALED(status) != 0;
    }
    contained("%d children made up to 60,000 calls, %d of them ended by a signal", children, signalled);
}
