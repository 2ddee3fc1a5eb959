# tries: Shift its clocks by a time namespace's offsets.
# user: root
# gvisor: denied
# container: denied
import ctypes
import os

from verdict import contained, denied

libc = ctypes.CDLL(None, use_errno=True)
said = []
if libc.unshare(0x80):
    said.append(f"unshare: {os.strerror(ctypes.get_errno())}")
try:
    with open("/proc/self/timens_offsets", "w") as target:
        target.write("monotonic 86400 0")
    contained("of its own namespace")
except OSError as error:
    said.append(error.strerror)
denied("; ".join(said))
