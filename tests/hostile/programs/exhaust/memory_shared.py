# tries: Take memory that belongs to no process: files in /dev/shm.
# gvisor: limited or ended
# container: limited or ended
from verdict import limited

written = 0
try:
    with open("/dev/shm/big", "wb", buffering=0) as file:
        while True:
            written += file.write(b"x" * (1 << 20))
except OSError as error:
    limited(f"{written >> 20} MiB, then {error.strerror}")
