# tries: Have the API list a tree without end: deep folders, loops of links, names that are no text.
# partner: listings
# timeout: 40
# gvisor: contained
# container: contained
import os
import time

os.makedirs("place", exist_ok=True)
os.chdir("place")
for index in range(200):
    os.mkdir(b"\xff\xfe bad \n name %d" % index)
    os.symlink(b"..", b"loop\x1b[2J%d" % index)
for depth in range(300):
    os.mkdir("d" * 30)
    os.chdir("d" * 30)
    os.symlink("..", "up")
open("/home/user/attack/place/ready", "w").close()
time.sleep(60)
