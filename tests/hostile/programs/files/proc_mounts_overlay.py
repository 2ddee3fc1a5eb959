# tries: Reach the layers and the writable folder of its own file system by the paths that /proc/mounts tells.
# user: root
# gvisor: denied
# container: denied: the paths are told, and lead nowhere
import os
import re

from verdict import denied, escaped

text = open("/proc/mounts").read() + open("/proc/self/mountinfo").read()
places = set(re.findall(r"(?:upperdir|lowerdir|workdir)=([^,\s]+)", text))
places |= {
    word for word in text.split() if "sandlot" in word and word.startswith("/") and word != "/.sandlot/agent"
}
for place in {part for one in places for part in one.split(":")}:
    if os.path.exists(place):
        escaped(f"{place} is there")
denied(f"paths told: {sorted(places) or 'none'}; none of them leads anywhere")
