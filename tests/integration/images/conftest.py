"""The templates of this machine, entered without a sandbox runtime."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import TEMPLATES_DIR

from sandlot.images import Template, Templates

_ENTER = """
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
root=$2/root uid=$3
shift 3
exec prlimit ${NPROC:+--nproc="$NPROC"} chroot --userspec="$uid:$uid" --groups="$uid" "$root" \
    env -i HOME="$([ "$uid" = 0 ] && echo /root || echo /home/user)" "$@"
"""

Done = subprocess.CompletedProcess[str]
Enter = Callable[..., Done]


def template(name: str) -> Template:
    return Templates(TEMPLATES_DIR).resolve(name)


@pytest.fixture
def enter(tmp_path: Path) -> Enter:
    """Runs a command in a template's root file system under the writable layer ``tmp_path/upper``."""
    for name in ("upper", "work", "root"):
        (tmp_path / name).mkdir()

    def run(name: str, *command: str, uid: int = 1000, nproc: str = "") -> Done:
        entered = template(name)
        layers = ":".join(map(str, entered.layers))
        env = [f"{key}={value}" for key, value in entered.config.env.items()]
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net"]
        return subprocess.run(
            [*alone, "bash", "-ec", _ENTER, "enter", layers, str(tmp_path), str(uid), *env, *command],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "NPROC": nproc},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run
