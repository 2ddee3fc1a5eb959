# tries: Give a program of its own every capability by an extended attribute, and run it as an ordinary user.
# user: root
# gvisor: denied
# container: denied
import os
import shutil
import subprocess

from verdict import denied, escaped

ALL = b"\x01\x00\x00\x02" + b"\xff" * 8 + b"\x00" * 8
shutil.copy("/bin/cat", "/tmp/cat")
try:
    os.setxattr("/tmp/cat", "security.capability", ALL)
    said = "the attribute was set"
except OSError as error:
    said = f"setxattr: {error.strerror}"
command = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "/tmp/cat", "/proc/self/status"]
done = subprocess.run(command, capture_output=True, text=True)
for line in done.stdout.splitlines():
    if line.startswith("CapEff") and int(line.split()[1], 16):
        escaped(f"{line} by file capabilities")
denied(f"{said}; {done.stderr.strip() or 'and gives nothing'}")
