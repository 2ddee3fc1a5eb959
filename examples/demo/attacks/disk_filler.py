"""Write until the disk is full: 16 GiB if nobody says stop."""

import json

block = b"x" * (4 << 20)
written = 0
error = None
with open("junk", "wb", buffering=0) as file:
    try:
        while written < 16 << 30:
            written += file.write(block)
    except OSError as reason:
        error = reason.strerror
print(json.dumps({"mib": written >> 20, "error": error}))
