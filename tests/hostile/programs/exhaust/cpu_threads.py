# tries: Compute without end on every processor, with as many processes as it may have.
# timeout: 4
# gvisor: stopped
# container: stopped
import contextlib
import os

for _ in range(30):
    with contextlib.suppress(OSError):
        os.fork()
while True:
    pass
