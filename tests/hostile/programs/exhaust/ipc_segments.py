# tries: Take memory with System V segments that stay when their process is gone.
# gvisor: limited or ended
# container: limited or ended
import ctypes
import os

from verdict import limited

libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
taken = 0
for _ in range(400):
    segment = libc.shmget(0, 4 << 20, 0o600)
    if segment < 0:
        break
    address = libc.shmat(segment, None, 0)
    ctypes.memset(address, 1, 4 << 20)
    taken += 4
limited(f"{taken} MiB, then {os.strerror(ctypes.get_errno())}")
