// tries: Make refused calls without any C library, from a static Zig program: setns, mount, bpf, kexec.
// user: root
// gvisor: denied or contained
// container: denied
const linux = @import("std").os.linux;

fn say(text: []const u8) void {
    _ = linux.write(1, text.ptr, text.len);
}

fn failed(result: usize) bool {
    return result > @as(usize, 0) -% 4096;
}

pub fn main() void {
    const setns = linux.syscall2(.setns, 0, 0x40000000);
    const bpf = linux.syscall3(.bpf, 0, 0, 0);
    const kexec = linux.syscall4(.kexec_load, 0, 0, 0, 0);
    const keyring = linux.syscall3(.perf_event_open, 0, 0, 0);
    if (failed(setns) and failed(bpf) and failed(kexec) and failed(keyring)) {
        say("\nVERDICT denied all four, whoever makes the call\n");
    } else {
        say("\nVERDICT escaped one of the calls works\n");
    }
}
