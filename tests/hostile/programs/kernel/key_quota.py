# tries: Fill the kernel's memory with keys until the host's quota is gone.
# gvisor: denied
# container: denied
import ctypes
import os
import platform

from verdict import denied, escaped

NUMBER = {"x86_64": 248, "aarch64": 217}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)
made = 0
for index in range(100_000):
    if libc.syscall(NUMBER, b"user", b"key%d" % index, bytes(1000), 1000, -3) < 0:
        break
    made += 1
if made:
    escaped(f"{made} keys were made in the host's kernel")
denied(os.strerror(ctypes.get_errno()))
