# tries: Send garbage, huge lengths and half frames to the agent's port.
# timeout: 30
# gvisor: denied
# container: denied
import os
import socket
import struct

from verdict import denied, escaped

answers = []
for data in (
    os.urandom(4096), struct.pack("<IBBHI", 0xFFFFFFFF, 1, 0, 0, 0), struct.pack("<IBBHI", 40, 1, 0, 0, 0) + b"x" * 40,
    b"GET / HTTP/1.1\r\n\r\n", struct.pack("<IBBHI", 0, 0x20, 1, 0, 1) * 100, b"\0",
):  # fmt: skip
    with socket.create_connection(("127.0.0.1", 1023), 5) as talk:
        talk.settimeout(5)
        try:
            talk.sendall(data)
            answers.append(talk.recv(300))
        except OSError as error:
            answers.append(str(error).encode())
if any(b"\x02" in answer[4:5] for answer in answers):
    escaped(f"the agent said welcome: {answers}")
denied(f"{len(answers)} times; last: {answers[2]!r}")
