"""A gibibyte up and down through the API, against a plain TCP copy into and out of the same guest."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator

from bench.harness import Options, Row, finish, floor, options
from bench.stage import TIERS, server
from sandlot import Sandbox

MIB = 1024 * 1024
CHUNK = os.urandom(MIB)
PORT = 8900
ROUNDS = 3
FLOOR = 0.25
"""Of a plain copy, which the kernels move alone: ours passes two Python processes, as HTTP and as frames."""

PEER = """
import os, socket, sys
with socket.create_server(("0.0.0.0", int(sys.argv[1]))) as server:
    print("listening", flush=True)
    for way in sys.argv[2]:
        connection, _ = server.accept()
        with connection:
            if way == "u":
                with open("plain", "wb") as file:
                    while data := connection.recv(1 << 18):
                        file.write(data)
                connection.sendall(b"!")
            else:
                with open("plain", "rb") as file:
                    connection.sendfile(file)
"""


class PlainCopy:
    """Bytes over a bare connection to a program in the guest that writes and reads a file."""

    def __init__(self, sandbox: Sandbox, rounds: int) -> None:
        self._address = sandbox.commands.run("hostname -I", check=True).stdout.split()[0]
        ways = "ud" * rounds
        self._peer = sandbox.commands.start(["python3", "-c", PEER, str(PORT), ways], timeout=3600)
        next(iter(self._peer))

    def up(self, mib: int) -> None:
        with socket.create_connection((self._address, PORT), 10) as connection:
            connection.settimeout(300)
            for _ in range(mib):
                connection.sendall(CHUNK)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)

    def down(self, mib: int) -> None:
        received = 0
        with socket.create_connection((self._address, PORT), 10) as connection:
            connection.settimeout(300)
            while data := connection.recv(MIB):
                received += len(data)
        expect(received, mib)


def chunks(mib: int) -> Iterator[bytes]:
    for _ in range(mib):
        yield CHUNK


def download(sandbox: Sandbox, mib: int) -> None:
    expect(sum(len(chunk) for chunk in sandbox.files.stream("ours")), mib)


def expect(received: int, mib: int) -> None:
    if received != mib * MIB:
        raise RuntimeError(f"{received} bytes arrived, not {mib} MiB")


def speed(call: Callable[[], object], mib: int) -> float:
    begun = time.perf_counter()
    call()
    return mib / (time.perf_counter() - begun)


def measure(tier: str, mib: int, rounds: int) -> list[Row]:
    speeds: dict[str, list[float]] = {"up": [], "plain up": [], "down": [], "plain down": []}
    with Sandbox.create(isolation=tier, timeout=3600, memory_mib=2048) as sandbox:
        plain = PlainCopy(sandbox, rounds)
        for _ in range(rounds):
            speeds["up"].append(speed(lambda: sandbox.files.write("ours", chunks(mib)), mib))
            speeds["plain up"].append(speed(lambda: plain.up(mib), mib))
            speeds["down"].append(speed(lambda: download(sandbox, mib), mib))
            speeds["plain down"].append(speed(lambda: plain.down(mib), mib))
    best = {name: max(found) for name, found in speeds.items()}
    return [
        *(Row(f"{tier}: {mib} MiB {name}", value, "MiB/s") for name, value in best.items()),
        floor(f"{tier}: up, share of plain", best["up"] / best["plain up"], "×", limit=FLOOR),
        floor(f"{tier}: down, share of plain", best["down"] / best["plain down"], "×", limit=FLOOR),
    ]


def main(given: Options) -> None:
    rows: list[Row] = []
    with server():
        for tier in TIERS:
            rows += measure(tier, 128 if given.quick else 1024, 2 if given.quick else ROUNDS)
    finish("files", rows, as_json=given.json)


if __name__ == "__main__":
    main(options(__doc__))
