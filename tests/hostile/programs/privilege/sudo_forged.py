# tries: Ask the agent's sudo socket for a root command with forged credentials, as a user that may not.
# user: nobody
# gvisor: denied
# container: denied
import os
import socket
import struct
import subprocess

from verdict import denied, escaped

said = []
for identity in ((1, 0, 0), (os.getpid(), 0, 0), (1, os.getuid(), 0)):
    with socket.socket(socket.AF_UNIX) as talk:
        try:
            talk.connect("\0sandlot-sudo-1023")
            forged = [(socket.SOL_SOCKET, 2, struct.pack("iII", *identity))]
            talk.sendmsg([b"\0" * 64], forged)
            talk.settimeout(2)
            said.append(repr(talk.recv(200))[:60])
        except OSError as error:
            said.append(error.strerror or str(error))
done = subprocess.run(["sudo", "id", "-u"], capture_output=True, text=True)
if done.stdout.strip() == "0":
    escaped("nobody became root")
denied(f"{said}; sudo: {done.stderr.strip()[:100]}")
