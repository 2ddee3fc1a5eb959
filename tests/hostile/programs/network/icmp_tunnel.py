# tries: Carry data to the host and its neighbours inside of pings.
# user: root
# timeout: 20
# gvisor: denied or contained
# container: denied
import os
import socket

from verdict import denied, escaped

replies, said = 0, "no socket"
for address in [
    one for one in os.environ["HOST_ADDRESSES"].split() if "." in one and not one.startswith("127.")
]:
    for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM):
        try:
            talk = socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)
            talk.settimeout(1)
            talk.sendto(b"\x08\0\xf7\xff\0\0\0\0" + b"data" * 10, (address, 0))
            while True:
                data, source = talk.recvfrom(2000)
                if source[0] == address and data[-48:-47] == b"\0":
                    escaped(f"{address} answers")
        except OSError as error:
            said = str(error)
denied(f"no answer: {said}")
