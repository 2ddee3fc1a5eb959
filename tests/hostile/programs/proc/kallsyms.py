# tries: Learn where the host's kernel is in memory, from kallsyms, modules, iomem and the like.
# user: root
# gvisor: denied
# container: denied
import re

from verdict import denied, escaped

PLACES = ("kallsyms", "modules", "iomem", "ioports", "kpagecount", "kpageflags", "vmallocinfo", "slabinfo")
said = []
for name in PLACES:
    try:
        text = open(f"/proc/{name}", errors="replace").read(1 << 20)
    except OSError as error:
        said.append(f"{name}: {error.strerror}")
        continue
    if re.search(r"ffffffff[89a-f][0-9a-f]{7}|ffff[0-9a-f]{4}[1-9a-f]{4}", text):
        escaped(f"/proc/{name} tells kernel addresses")
    said.append(f"{name}: {len(text)} bytes, no address")
denied("; ".join(said))
