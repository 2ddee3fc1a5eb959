# tries: Fork without end, as root.
# user: root
# timeout: 4
# gvisor: stopped or limited or ended: docs/isolation.md admits that it may end its sandbox
# container: stopped or limited
import contextlib
import os

while True:
    with contextlib.suppress(OSError):
        os.fork()
