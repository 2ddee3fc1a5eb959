"""Send COUNT small UDP packets to HOST: to port 53, or each to another port."""

import socket
import sys

host, count, ports = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    for number in range(count):
        sock.sendto(b"x", (host, 53 if ports == "dns" else 10000 + number))
print("sent", flush=True)
