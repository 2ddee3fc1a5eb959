# tries: Leave dead children that nobody waits for.
# timeout: 30
# gvisor: limited or contained: gVisor does not count the dead
# container: limited
import os
import time

from verdict import contained, limited

for made in range(150):
    try:
        if os.fork() == 0:
            os._exit(0)
    except OSError as error:
        limited(f"{made} dead children, then {error.strerror}")
    time.sleep(0)
contained("150 dead children, which gVisor does not count")
