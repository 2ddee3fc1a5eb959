// tries: Load a module into the kernel, from memory and from a file, and unload one.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"

int main(void) {
    static char image[4096] = "\177ELF\2\1\1";
    image[16] = 1;
    int file = open("module.ko", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (write(file, image, sizeof image) != sizeof image) return 1;
    int done = worked("init_module", syscall(SYS_init_module, image, sizeof image, ""));
    if (errno == ENOEXEC) escaped("the kernel looked at a module of ours");
    done += worked("finit_module", syscall(SYS_finit_module, file, "", 0));
    if (errno == ENOEXEC) escaped("the kernel looked at a module of ours");
    done += worked("delete_module", syscall(SYS_delete_module, "loop", O_NONBLOCK));
    if (done) escaped("a module call worked");
    denied("module calls are refused: %s", strerror(errno));
}
