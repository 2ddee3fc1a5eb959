// tries: Make new namespaces of every kind with unshare, clone and clone3.
// gvisor: contained or denied: namespaces of gVisor's own kernel
// container: denied
#include "verdict.h"
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

int main(void) {
    unsigned kinds[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, 0x02000000};
    int done = 0, error = 0;
    for (int i = 0; i < 7; i++) {
        pid_t child = syscall(SYS_clone, kinds[i] | SIGCHLD, 0, 0, 0, 0);
        if (child == 0) _exit(0);
        if (worked("clone", child)) done++, waitpid(child, NULL, 0);
        unsigned long arguments[11] = {kinds[i], 0, 0, 0, SIGCHLD};
        error = errno;
        child = syscall(435, arguments, sizeof arguments);
        if (child == 0) _exit(0);
        if (worked("clone3", child)) done++, waitpid(child, NULL, 0);
    }
    for (int i = 0; i < 7; i++)
        if (fork() == 0) _exit(unshare(kinds[i]) == 0);
    for (int status; wait(&status) > 0;) done += WEXITSTATUS(status);
    if (done) contained("%d namespaces made in its own kernel", done);
    denied("no namespace of any kind: %s", strerror(error));
}
