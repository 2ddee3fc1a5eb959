# tries: Bind every port there is, for TCP and UDP.
# timeout: 40
# gvisor: limited or contained or ended
# container: limited or contained
import resource
import socket

from verdict import contained

_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 70000), most))
held, refused = [], 0
for port in range(1, 65536, 4):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        try:
            one = socket.socket(socket.AF_INET, kind)
            one.bind(("0.0.0.0", port))
            held.append(one)
        except OSError:
            refused += 1
contained(f"{len(held)} ports of its own address, {refused} refused")
