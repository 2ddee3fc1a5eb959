"""One flow kept open: PROTOCOL HOST PORT [LOCAL PORT]. Sends each line, says "heard" or "silence"."""

import socket
import sys

protocol, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
sock = socket.socket(socket.AF_INET, kind)
if len(sys.argv) > 4:
    sock.bind(("0.0.0.0", int(sys.argv[4])))
sock.settimeout(1.5)
sock.connect((host, port))
print("connected", flush=True)
for line in sys.stdin:
    data = bytes.fromhex(line.strip()[4:]) if line.startswith("hex ") else line.encode()
    sock.send(data)
    try:
        print("heard" if sock.recv(2000) else "closed", flush=True)
    except TimeoutError:
        print("silence", flush=True)
