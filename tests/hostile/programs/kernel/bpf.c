// tries: Create maps and load programs with bpf(2), the host kernel's own virtual machine.
// user: root
// gvisor: denied
// container: denied
#include "verdict.h"
#include <stdint.h>

int main(void) {
    uint64_t map[16] = {0}, program[16] = {0};
    uint64_t code[] = {0xb7, 0x95};  // r0 = 0; exit
    uint32_t *fields = (uint32_t *)map;
    fields[0] = 2, fields[1] = 4, fields[2] = 4, fields[3] = 1;
    int done = worked("BPF_MAP_CREATE", syscall(SYS_bpf, 0, map, sizeof map));
    fields = (uint32_t *)program;
    fields[0] = 1, fields[1] = 2;
    program[1] = (uint64_t)(uintptr_t)code;
    program[2] = (uint64_t)(uintptr_t)"GPL";
    done += worked("BPF_PROG_LOAD", syscall(SYS_bpf, 5, program, sizeof program));
    if (done) escaped("bpf works");
    denied("bpf: %s", strerror(errno));
}
