# tries: Unpack an archive that is a thousand times its size.
# timeout: 40
# gvisor: limited
# container: limited
import zipfile

from verdict import limited

with zipfile.ZipFile("bomb.zip", "w", zipfile.ZIP_DEFLATED) as bomb, bomb.open("zeros", "w") as file:
    for _ in range(150):
        file.write(bytes(1 << 20))
try:
    zipfile.ZipFile("bomb.zip").extractall("out")
except OSError as error:
    limited(error.strerror)
