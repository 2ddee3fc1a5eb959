# tries: Flood the server's name service with queries, malformed ones among them.
# timeout: 20
# gvisor: contained
# container: contained
import os
import socket

from verdict import contained

server = [line.split()[1] for line in open("/etc/resolv.conf") if line.startswith("nameserver")][0]
talk = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
talk.setblocking(False)
sent = 0
for number in range(20000):
    question = b"\x07" + os.urandom(3).hex()[:7].ljust(7, "0").encode() + b"\x07invalid\0\0\x01\0\x01"
    data = number.to_bytes(2, "big", signed=False) if number < 65536 else b"\0\0"
    try:
        talk.sendto(
            data + b"\x01\0\0\x01\0\0\0\0\0\0" + question if number % 3 else os.urandom(40), (server, 53)
        )
        sent += 1
    except OSError:
        continue
contained(f"{sent} queries sent to {server}")
