# tries: Take randomness away from the host: stir and clear its pool through /dev/random.
# user: root
# gvisor: denied
# container: denied
import fcntl
import os

from verdict import denied, escaped

said = []
for name, number, argument in (
    ("RNDCLEARPOOL", 0x5206, 0),
    ("RNDZAPENTCNT", 0x5204, 0),
    ("RNDADDTOENTCNT", 0x40045201, b"\x10\0\0\0"),
):
    try:
        fcntl.ioctl(os.open("/dev/random", os.O_RDWR), number, argument)
        escaped(f"{name} works")
    except OSError as error:
        said.append(f"{name}: {error.strerror}")
denied("; ".join(said))
