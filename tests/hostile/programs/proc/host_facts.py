# tries: Learn about the machine: uptime, load, memory, processors, pressure, disks.
# gvisor: contained or seen: gVisor's own figures; the number of processors is the host's
# container: seen: processors, uptime, load and memory of the host
import os

from verdict import contained, seen

facts = {}
for name in (
    "uptime",
    "loadavg",
    "meminfo",
    "version",
    "cpuinfo",
    "diskstats",
    "partitions",
    "pressure/cpu",
    "stat",
):
    try:
        facts[name] = open(f"/proc/{name}").readline().split("\n")[0].strip()[:60]
    except OSError as error:
        facts[name] = error.strerror
text = "; ".join(f"{name}: {fact}" for name, fact in facts.items())
if "gVisor" in open("/proc/version").read() or "4.4.0" in os.uname().release:
    contained(text)
seen(text)
