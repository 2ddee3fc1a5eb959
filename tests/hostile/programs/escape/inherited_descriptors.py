# tries: Use descriptors that the runtime might have left open (as runc's CVE-2024-21626) to leave the root.
# user: root
# gvisor: contained: every open folder belongs to the sandbox
# container: contained: every open folder belongs to the sandbox
import os

from verdict import contained, escaped, host_under

looked = 0
for pid in [name for name in os.listdir("/proc") if name.isdigit()]:
    try:
        numbers = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        continue
    for number in numbers:
        place = f"/proc/{pid}/fd/{number}"
        looked += 1
        for up in ("", "/..", "/../../../../../../../.."):
            if host_under(place + up):
                escaped(f"{place} leads to the host")
for number in range(3, 64):
    try:
        os.chdir(f"/proc/self/fd/{number}")
    except OSError:
        continue
    if host_under("../../../../.."):
        escaped(f"descriptor {number} leads to the host")
contained(f"{looked} descriptors looked at, none leads out")
