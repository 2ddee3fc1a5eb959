# tries: Write back what it reads to every sysctl, then a different number: each that takes it is counted.
# user: root
# gvisor: contained: sysctls of gVisor's own network
# container: denied
# timeout: 30
import os

from verdict import contained, denied

taken, tried = [], 0
for folder, _, names in os.walk("/proc/sys"):
    for name in names:
        place = os.path.join(folder, name)
        try:
            with open(place, "rb") as source:
                value = source.read(4096)
        except OSError:
            continue
        tried += 1
        other = str(int(value) + 1).encode() if value.strip().isdigit() else value
        try:
            with open(place, "wb", buffering=0) as target:
                target.write(other)
            taken.append(place.removeprefix("/proc/sys/"))
        except OSError:
            continue
if taken:
    contained(f"{len(taken)} of {tried} are the sandbox's own: {', '.join(taken[:8])}")
denied(f"none of {tried} can be written")
