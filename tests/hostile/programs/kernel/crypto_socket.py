# tries: Use the kernel's cryptography through AF_ALG, the way of several privilege escalations.
# gvisor: denied
# container: denied
import socket

from verdict import denied, escaped

try:
    with socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET) as talk:
        talk.bind(("hash", "sha256"))
        escaped("AF_ALG works")
except OSError as error:
    denied(error.strerror)
