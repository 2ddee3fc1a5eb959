# tries: Speak every netlink protocol (firewall, audit, kobject events, SELinux, crypto) and listen to its groups.
# user: root
# gvisor: contained: routing only, its own
# container: contained: of its own network namespace only
import socket
import struct

from verdict import contained, escaped

made, heard = [], []
for protocol in range(23):
    try:
        talk = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    except OSError:
        continue
    made.append(protocol)
    for groups in (1, 0xFFFF):
        try:
            talk.bind((0, groups))
            heard.append(protocol)
            break
        except OSError:
            continue
    if protocol == 9:  # audit: ask for its status
        try:
            talk.settimeout(1)
            talk.send(struct.pack("=IHHII", 16, 1000, 5, 1, 0))
            kind = struct.unpack_from("=IH", talk.recv(4096))[1]
            if kind == 1000:
                escaped("the audit system told its status")
        except OSError:
            pass
    talk.close()
contained(f"protocols {made}, groups of {sorted(set(heard))}")
