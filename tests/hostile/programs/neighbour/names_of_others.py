# tries: Find the ids, addresses and names of other sandboxes in files, mounts, names and caches.
# user: root
# gvisor: denied
# container: denied
import os
import subprocess

from verdict import denied, escaped

text = ""
for place in ("/proc/mounts", "/proc/self/mountinfo", "/proc/self/cgroup", "/proc/1/cgroup", "/etc/hosts", "/proc/net/arp",
              "/proc/net/tcp", "/proc/net/route", "/proc/net/unix", "/proc/net/fib_trie"):  # fmt: skip
    try:
        text += open(place).read()
    except OSError:
        continue
text += subprocess.run(["ip", "-d", "link"], capture_output=True, text=True).stdout
for word in (*os.environ["NEIGHBOUR_IDS"].split(), *os.environ["NEIGHBOURS"].split()):
    if word in text:
        escaped(f"{word} is told")
denied("none is told")
