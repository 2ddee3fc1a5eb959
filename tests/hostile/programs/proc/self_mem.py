# tries: Write into the memory of other users' processes through /proc/PID/mem, process 1 first.
# gvisor: denied
# container: denied
import os

from verdict import denied, escaped

said = []
for pid in [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]:
    try:
        if os.stat(f"/proc/{pid}").st_uid == os.getuid():
            continue
        with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
            memory.seek(int(open(f"/proc/{pid}/maps").readline().split("-")[0], 16))
            memory.read(16)
            escaped(f"the memory of {pid} can be read")
    except OSError as error:
        said.append(f"{pid}: {error.strerror}")
denied("; ".join(said))
