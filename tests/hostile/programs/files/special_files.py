# tries: Have the API read what never ends or never answers: a pipe, a socket, /dev/zero, a link to itself.
# partner: special-files
# timeout: 40
# gvisor: contained
# container: contained
import os
import socket
import time

os.makedirs("place", exist_ok=True)
os.mkfifo("place/pipe")
talk = socket.socket(socket.AF_UNIX)
talk.bind("place/socket")
os.symlink("endless", "place/endless")
os.symlink("/dev/zero", "place/zero")
open("place/ready", "w").close()
time.sleep(60)
