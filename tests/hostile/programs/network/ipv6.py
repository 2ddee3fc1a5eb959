# tries: Go around the firewall by IPv6: link-local, the host's addresses, multicast, mapped addresses.
# timeout: 40
# gvisor: denied
# container: denied
import os
import socket

from verdict import denied, escaped

port = int(os.environ["CANARY_PORT"])
hosts = [one for one in os.environ["HOST_ADDRESSES"].split() if ":" in one]
mapped = [
    f"::ffff:{one}"
    for one in os.environ["HOST_ADDRESSES"].split()
    if "." in one and not one.startswith("127.")
]
for host in [
    *hosts[:4],
    *mapped[:3],
    "ff02::1%eth0",
    "fe80::1%eth0",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
]:
    if host == "::1":
        continue
    try:
        with socket.create_connection((host, port), 1) as talk:
            print(talk.recv(100))
        escaped(f"{host} answers")
    except OSError as error:
        print(host, error)
denied("no address answers")
