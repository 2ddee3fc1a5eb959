"""The container tier's system call filter: what is not named here does not exist for the guest.

The `gvisor` tier needs none: there the guest's calls end in gVisor, and gVisor filters its own.

A call that is left out answers ENOSYS, as on an older kernel, so that programs fall back; those that
people try by hand answer EPERM, which says more. Left out, and why:

- new namespaces and mounts (unshare, setns, clone with CLONE_NEW*, mount, pivot_root, fsopen, open_tree): a
  user namespace inside would open the kernel's privileged code paths to every guest;
- bpf, perf_event_open, userfaultfd, io_uring, keyctl, add_key, request_key, kcmp, quotactl, lookup_dcookie,
  fanotify, open_by_handle_at: large or not namespaced, and the source of most escapes;
- modules, kexec, reboot, swap, clocks, accounting, syslog, raw ports, NUMA placement: the host's own;
- clone3, because its flags cannot be looked at: the C library then uses clone;
- sockets other than UNIX, IPv4, IPv6 and netlink (no AF_ALG, AF_VSOCK, AF_PACKET, AF_XDP ...).
"""

from __future__ import annotations

import platform
from typing import Any

_EPERM, _ENOSYS = 1, 38
_NAMESPACES = 0x7E020000  # CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET
_FAMILIES = (1, 2, 10, 16)  # UNIX, INET, INET6, NETLINK

_FILES = """
access chdir chmod chown chroot close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr
flock fremovexattr fsetxattr fstat fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch ioctl lchown lgetxattr link linkat listxattr
llistxattr lremovexattr lseek lsetxattr lstat memfd_create mkdir mkdirat mknod mknodat name_to_handle_at
newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead
readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile setxattr splice stat statfs
statx symlink symlinkat sync sync_file_range syncfs tee truncate umask unlink unlinkat utime utimensat
utimes vmsplice write writev
"""

_PROCESSES = """
alarm arch_prctl brk capget capset clock_getres clock_gettime clock_nanosleep execve execveat exit
exit_group fork futex futex_requeue futex_wait futex_waitv futex_wake get_robust_list get_thread_area getcpu
getegid geteuid getgid getgroups getitimer getpgid getpgrp getpid getppid getpriority getrandom getresgid
getresuid getrlimit getrusage getsid gettid gettimeofday getuid ioprio_get ioprio_set kill landlock_add_rule
landlock_create_ruleset landlock_restrict_self madvise map_shadow_stack membarrier mincore mlock mlock2
mlockall mmap mprotect mremap mseal msync munlock munlockall munmap nanosleep pause pidfd_getfd pidfd_open
pidfd_send_signal pkey_alloc pkey_free pkey_mprotect prctl prlimit64 process_madvise process_mrelease
process_vm_readv process_vm_writev ptrace remap_file_pages restart_syscall rseq rt_sigaction rt_sigpending
rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
sched_getscheduler sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler
sched_yield seccomp set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups
setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setuid sigaltstack
sysinfo tgkill time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
timerfd_gettime timerfd_settime times tkill uname vfork wait4 waitid
"""

_TALK = """
accept accept4 bind connect epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd
eventfd2 getpeername getsockname getsockopt io_cancel io_destroy io_getevents io_pgetevents io_setup
io_submit listen mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv
msgsnd poll ppoll pselect6 recvfrom recvmmsg recvmsg select semctl semget semop semtimedop sendmmsg sendmsg
sendto setsockopt shmat shmctl shmdt shmget shutdown signalfd signalfd4 socketpair
"""

_REFUSED = """
acct add_key adjtimex bpf clock_adjtime clock_settime delete_module fanotify_init finit_module init_module
ioperm iopl kexec_file_load kexec_load keyctl lookup_dcookie mount move_mount open_by_handle_at open_tree
perf_event_open pivot_root quotactl reboot request_key setdomainname sethostname setns settimeofday swapoff
swapon syslog umount2 unshare userfaultfd vhangup
"""


def profile(machine: str = platform.machine()) -> dict[str, Any]:
    """The `linux.seccomp` object of an OCI runtime specification, for this machine's own system calls
    only.
    """
    architecture = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}[machine]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _ENOSYS,
        "architectures": [architecture],
        "syscalls": [
            {"names": f"{_FILES} {_PROCESSES} {_TALK}".split(), "action": "SCMP_ACT_ALLOW"},
            {"names": _REFUSED.split(), "action": "SCMP_ACT_ERRNO", "errnoRet": _EPERM},
            _clone(),
            *(_socket(family) for family in _FAMILIES),
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [_argument(0, 0)]},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [_argument(0, 0xFFFFFFFF)]},
        ],
    }


def _clone() -> dict[str, Any]:
    no_namespace = {"index": 0, "value": _NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}
    return {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [no_namespace]}


def _socket(family: int) -> dict[str, Any]:
    return {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [_argument(0, family)]}


def _argument(index: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": value, "op": "SCMP_CMP_EQ"}
