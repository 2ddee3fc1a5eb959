# tries: Take every inode with empty files.
# timeout: 40
# gvisor: limited
# container: limited
import os

from verdict import escaped, limited

made = 0
try:
    for folder in range(200):
        os.mkdir(f"d{folder}")
        for number in range(500):
            os.close(os.open(f"d{folder}/{number}", os.O_CREAT))
            made += 1
except OSError as error:
    limited(f"{made} files, then {error.strerror}")
escaped(f"{made} files, and no end")
