"""What E2B's own Python client, unmodified, takes here: to a sandbox's first output, and for a command.

Beside it our own client does the same, and the bare runtime runs `true`, by turns. The door's own cost is
told by plain HTTP: the same command by E2B's protocol and by the native API, over connections that stay open.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

import e2b
import httpx

from bench.cold import runtime_of
from bench.harness import Options, Row, Samples, finish, options, promise
from bench.stage import BareRuntime, server
from sandlot import Sandbox
from sandlot.server.local import LocalServer

SHELL: Final = ["/bin/bash", "-l", "-c", "true"]
"""What E2B's client makes of the command `true`."""
SETTLE_S: Final = 0.25
TIER: Final = "gvisor"
WARM_UP: Final = 5


def interactive(local: LocalServer, runs: int) -> list[Row]:
    theirs, ours = Samples("E2B's client: create + command"), Samples("our client: create + command")
    alone = Samples("bare run true")
    with Sandbox.create(isolation=TIER) as carrier:
        bare = BareRuntime(local, carrier, runtime_of(TIER))
        create_by_e2b().kill()
        create_by_ours().kill()
        bare.run_true()
        for _ in range(runs):
            theirs.time(create_by_e2b, after=e2b.Sandbox.kill)
            time.sleep(SETTLE_S)
            ours.time(create_by_ours, after=Sandbox.kill)
            time.sleep(SETTLE_S)
            alone.time(bare.run_true)
            time.sleep(SETTLE_S)
    return [*theirs.rows(), *ours.rows(), *alone.rows()]


def create_by_e2b() -> e2b.Sandbox:
    sandbox = e2b.Sandbox.create("base")
    sandbox.commands.run("true")
    return sandbox


def create_by_ours() -> Sandbox:
    sandbox = Sandbox.create("base", isolation=TIER)
    sandbox.commands.run(SHELL, check=True)
    return sandbox


def commands(local: LocalServer, runs: int) -> list[Row]:
    """All four ways to the same program in the same sandbox, by turns."""
    door, native = Samples("a command by E2B's protocol"), Samples("a command by the native API")
    theirs, ours = Samples("a command by E2B's client"), Samples("a command by our client")
    with e2b.Sandbox.create("base", timeout=1800) as sandbox:
        same = Sandbox.connect(sandbox.sandbox_id)
        with httpx.Client(base_url=local.url, timeout=60) as one, httpx.Client(base_url=local.url) as other:
            ways: tuple[tuple[Samples, Callable[[], object]], ...] = (
                (door, by_door(one, sandbox)),
                (native, by_native(other, local.key, sandbox.sandbox_id)),
                (theirs, lambda: sandbox.commands.run("true")),
                (ours, lambda: same.commands.run(SHELL, check=True)),
            )
            for run in range(-WARM_UP, runs):
                for samples, call in ways:
                    call() if run < 0 else samples.time(call)
    over = door.percentile(50) - native.percentile(50)
    return [
        *door.rows(),
        *native.rows(),
        *theirs.rows(),
        *ours.rows(),
        promise("E2B's protocol over the native API, p50", over, "ms", limit=3.0),
    ]


def by_door(client: httpx.Client, sandbox: e2b.Sandbox) -> Callable[[], None]:
    message = b'{"process":{"cmd":"/bin/bash","args":["-l","-c","true"]},"stdin":false}'
    headers = {
        "content-type": "application/connect+json",
        "connect-protocol-version": "1",
        **sandbox.connection_config.sandbox_headers,
    }
    body = b"\0" + len(message).to_bytes(4, "big") + message

    def run() -> None:
        answer = client.post("/process.Process/Start", content=body, headers=headers)
        if b'"exited":true' not in answer.content:
            raise RuntimeError(f"no end of the command: {answer.status_code} {answer.content[:500]!r}")

    return run


def by_native(client: httpx.Client, key: str, sandbox_id: str) -> Callable[[], None]:
    path, headers = f"/v1/sandboxes/{sandbox_id}/commands", {"x-api-key": key}

    def run() -> None:
        answer = client.post(path, json={"args": SHELL}, headers=headers)
        if b'"exit_code":0' not in answer.content:
            raise RuntimeError(f"no end of the command: {answer.status_code} {answer.content[:500]!r}")

    return run


def main(given: Options) -> None:
    rows: list[Row] = []
    with server() as local:
        key = "e2b_" + local.key.removeprefix("sl_")
        os.environ |= {"E2B_API_URL": local.url, "E2B_SANDBOX_URL": local.url, "E2B_API_KEY": key}
        rows += interactive(local, 8 if given.quick else 100)
        rows += commands(local, 50 if given.quick else 500)
    finish("e2b", rows, as_json=given.json)


if __name__ == "__main__":
    main(options(__doc__))
