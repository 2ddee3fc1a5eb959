# tries: Map the host's root into a user namespace of its own by writing uid_map with ids it was not given.
# user: root
# gvisor: denied or contained
# container: denied
import ctypes
import os

from verdict import contained, denied, escaped

libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x10000000):
    denied(f"unshare: {os.strerror(ctypes.get_errno())}")
said = []
for line in ("0 0 4294967295", "0 100000000 1", "0 0 1"):
    try:
        with open("/proc/self/uid_map", "w") as target:
            target.write(line)
        said.append(f"{line}: taken")
        break
    except OSError as error:
        said.append(f"{line}: {error.strerror}")
if os.path.exists(os.environ["CANARY"]):
    escaped("the host's files")
contained("; ".join(said))
