# tries: Call the server's API from inside, by every address, with no key, with an empty one and with guessed ones.
# timeout: 30
# gvisor: denied
# container: denied
import os
import subprocess
import urllib.request

from verdict import denied, escaped

route = subprocess.run(["ip", "route"], capture_output=True, text=True).stdout.split()
gateway = [route[route.index("via") + 1]] if "via" in route else []
hosts = [one for one in [*os.environ["HOST_ADDRESSES"].split(), *gateway] if "." in one]
for host in dict.fromkeys([*hosts, "localhost", "sandlot", "host.docker.internal"]):
    for key in (None, "", "sl_" + "0" * 40, "admin"):
        request = urllib.request.Request(f"http://{host}:{os.environ['SERVER_PORT']}/v1/sandboxes")
        if key is not None:
            request.add_header("X-API-Key", key)
        try:
            urllib.request.urlopen(request, timeout=0.7)
            escaped(f"{host} let {key!r} in")
        except urllib.error.HTTPError as error:
            escaped(f"{host} answers {error.code}")
        except OSError as error:
            print(host, error)
            break
denied("the API cannot be reached from inside")
