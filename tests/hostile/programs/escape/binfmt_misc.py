# tries: Register an interpreter in binfmt_misc, that programs of the host would then be started with.
# user: root
# gvisor: denied
# container: denied
import os
import subprocess

from verdict import denied, escaped

RULE = b":sandlot:M::#!/bin/sh::/tmp/interpreter:"
subprocess.run(["mount", "-t", "binfmt_misc", "none", "/proc/sys/fs/binfmt_misc"], capture_output=True)
subprocess.run(["mkdir", "-p", "/tmp/binfmt"])
subprocess.run(["mount", "-t", "binfmt_misc", "none", "/tmp/binfmt"], capture_output=True)
said = []
for folder in ("/proc/sys/fs/binfmt_misc", "/tmp/binfmt"):
    try:
        os.write(os.open(f"{folder}/register", os.O_WRONLY), RULE)
        escaped(f"{folder} took a rule")
    except OSError as error:
        said.append(f"{folder}: {error.strerror}")
denied("; ".join(said))
