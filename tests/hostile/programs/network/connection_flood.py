# tries: Open thousands of connections to the internet, to fill the host's table of connections.
# timeout: 30
# gvisor: contained or limited
# container: contained or limited
import resource
import socket

from verdict import contained

_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 9000), most))
held = []
for number in range(4500):
    try:
        talk = socket.socket()
        talk.setblocking(False)
        talk.connect_ex((f"203.0.114.{number % 250 + 1}", 80 + number // 250))
        held.append(talk)
    except OSError:
        break
contained(f"{len(held)} connections begun; the host keeps 4,096 of them at most")
