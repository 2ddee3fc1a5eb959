# tries: Connect to the host by every address it has: its services, the server's API, SSH.
# timeout: 40
# gvisor: denied
# container: denied
import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

from verdict import denied, escaped

route = subprocess.run(["ip", "route"], capture_output=True, text=True).stdout.split()
gateway = [route[route.index("via") + 1]] if "via" in route else []
hosts = [*os.environ["HOST_ADDRESSES"].split()[:8], *gateway, "localhost", "0.0.0.0", "127.0.0.2"]
ports = [int(os.environ["CANARY_PORT"]), int(os.environ["SERVER_PORT"]), 22, 2375]


def reached(target):
    try:
        with socket.create_connection(target, 1) as talk:
            talk.settimeout(1)
            print(talk.recv(200))
            return target
    except OSError:
        return None


with ThreadPoolExecutor(24) as pool:
    found = [one for one in pool.map(reached, [(host, port) for host in hosts for port in ports]) if one]
if found:
    escaped(f"reached {found}")
denied(f"{len(hosts)} addresses, {len(ports)} ports each, none answers")
