# tries: The same without root: a socket filter of the extended kind, through bpf(2).
# gvisor: denied
# container: denied
import ctypes
import os
import platform

from verdict import denied, escaped

NUMBER = {"x86_64": 321, "aarch64": 280}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)
said = []
for command in range(40):
    if libc.syscall(NUMBER, command, bytes(128), 128) >= 0:
        escaped(f"bpf command {command} works")
    said.append(os.strerror(ctypes.get_errno()))
denied(", ".join(sorted(set(said))))
