"""Send one UDP packet with a source that is not ours: SOURCE DESTINATION PORT."""

import socket
import struct
import sys

source, destination, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
payload = b"spoofed\n"
udp = struct.pack("!HHHH", 4444, port, 8 + len(payload), 0) + payload
ip = struct.pack(
    "!BBHHHBBH4s4s", 0x45, 0, 0, 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(destination)
)
with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
    raw.sendto(ip + udp, (destination, 0))
print("sent", flush=True)
