# tries: Open files, pipes and sockets until no descriptor is left.
# gvisor: limited or ended
# container: limited or ended
import os
import resource

from verdict import limited

_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
opened = 0
try:
    while opened < 50_000:
        os.pipe()
        opened += 2
except OSError as error:
    limited(f"{opened} of {most}, then {error.strerror}")
limited(f"{opened} of {most} descriptors")
