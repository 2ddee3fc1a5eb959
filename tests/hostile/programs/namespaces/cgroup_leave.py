# tries: Move its processes to another control group, the root one before all.
# user: root
# gvisor: contained or denied
# container: denied
import glob
import os
import subprocess

from verdict import contained, denied

os.makedirs("/c", exist_ok=True)
subprocess.run(["mount", "-t", "cgroup", "-o", "pids", "none", "/c"], capture_output=True)
moved, said = [], "no cgroup.procs is there"
for place in glob.glob("/c/**/cgroup.procs", recursive=True) + glob.glob(
    "/sys/fs/cgroup/**/cgroup.procs", recursive=True
):
    try:
        with open(place, "w") as target:
            target.write(str(os.getpid()))
        moved.append(place)
    except OSError as error:
        said = error.strerror
if moved:
    contained(f"within the sandbox's own groups: {moved}")
denied(said)
