# tries: Take the kernel's memory with sockets whose buffers are full.
# gvisor: limited or ended
# container: limited or ended
import resource
import socket

from verdict import limited

_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 20000), most))
held, size = [], 0
try:
    while len(held) < 4000:
        pair = socket.socketpair()
        held.append(pair)
        pair[0].setblocking(False)
        try:
            while True:
                size += pair[0].send(b"x" * 65536)
        except BlockingIOError:
            continue
except (OSError, MemoryError) as error:
    limited(f"{size >> 20} MiB in {len(held)} pairs, then {error}")
limited(f"{size >> 20} MiB in {len(held)} pairs")
