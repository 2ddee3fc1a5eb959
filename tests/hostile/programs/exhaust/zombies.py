# tries: Leave dead children that nobody waits for.
# gvisor: limited or contained: gVisor does not count the dead
# container: limited
import os
import time

from verdict import contained, limited

for made in range(300):
    try:
        if os.fork() == 0:
            os._exit(0)
    except OSError as error:
        limited(f"{made} dead children, then {error.strerror}")
    time.sleep(0)
contained("300 dead children, which gVisor does not count")
