"""Limits, as the program that runs into them notices, and as its neighbour does not."""

from __future__ import annotations

import time

import pytest

from sandlot import Sandbox
from sandlot.sdk import InvalidArgumentError, NotEnoughSpaceError

from .conftest import Make

HOG = "python3 -c 'b = []\nwhile True: b.append(bytearray(b\"x\" * 8_000_000))'"


def test_out_of_memory_ends_the_process_not_the_sandbox(make: Make, isolation: str) -> None:
    sandbox = make(isolation=isolation, memory_mib=256)
    sandbox.commands.run("echo kept > note")
    result = sandbox.commands.run(HOG, timeout=60)
    assert result.exit_code != 0
    assert not result.timed_out
    assert sandbox.commands.run("cat note").stdout == "kept\n"
    if not result.oom:  # where the kernel was faster than we are, its own word comes a moment later
        wait_for_event(sandbox, "oom")


def wait_for_event(sandbox: Sandbox, kind: str) -> None:
    deadline = time.monotonic() + 20
    while kind not in [event.kind for event in sandbox.events()]:
        assert time.monotonic() < deadline, f"no event {kind!r}"
        time.sleep(0.05)


def test_many_hogs_at_once(make: Make, isolation: str) -> None:
    sandbox = make(isolation=isolation, memory_mib=256)
    sandbox.commands.run(f"for i in 1 2 3 4; do {HOG} & done; wait", timeout=60)
    assert sandbox.commands.run("echo fine").stdout == "fine\n"


def test_memory_asked_for_is_memory_given(make: Make, isolation: str) -> None:
    sandbox = make(isolation=isolation, memory_mib=512)
    program = "b = b'x' * (380 * 1024 * 1024); print(len(b))"
    assert sandbox.commands.run(["python3", "-c", program]).stdout == f"{380 * 1024 * 1024}\n"


def test_a_full_disk_is_enospc_and_goes_away_again(make: Make, isolation: str) -> None:
    sandbox = make(isolation=isolation, disk_mib=128)
    result = sandbox.commands.run("dd if=/dev/zero of=big bs=1M count=1000", timeout=120)
    assert "No space left" in result.stderr
    with pytest.raises(NotEnoughSpaceError, match="disk is full"):
        sandbox.files.write("more", b"x" * 20_000_000)
    sandbox.commands.run("rm big")
    sandbox.files.write("more", b"x" * 20_000_000)
    assert sandbox.files.stat("more").size == 20_000_000


def test_a_fork_bomb_stays_inside(make: Make, isolation: str) -> None:
    sandbox = make(isolation=isolation, pids=64)
    neighbour = make(isolation=isolation)
    sandbox.commands.run(":(){ :|:& };:", timeout=5)
    assert neighbour.commands.run("echo fine").stdout == "fine\n"
    assert sandbox.metrics().processes <= 80


def test_processor_share_holds(make: Make, isolation: str) -> None:
    sandbox = make(isolation=isolation, cpus=0.5)
    before = sandbox.metrics()
    sandbox.commands.run(
        "timeout 4 sh -c 'while :; do :; done' & timeout 4 sh -c 'while :; do :; done'; wait"
    )
    after = sandbox.metrics()
    assert before.at is not None
    assert after.at is not None
    wall = (after.at - before.at).total_seconds()
    assert after.cpu_seconds - before.cpu_seconds <= 0.5 * wall * 1.25


def test_output_without_end_is_cut_where_the_caller_says(sandbox: Sandbox) -> None:
    result = sandbox.commands.run("yes", timeout=2, max_output=100_000)
    assert len(result.stdout_bytes) <= 100_000
    assert result.timed_out or result.truncated


@pytest.mark.parametrize(
    "options",
    [
        {"cpus": 0},
        {"cpus": -1},
        {"memory_mib": 1},
        {"memory_mib": 10**9},
        {"disk_mib": 0},
        {"pids": 0},
        {"timeout": -3},
    ],
)
def test_absurd_limits_are_refused_by_name(make: Make, options: dict[str, float]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(options)).removesuffix("_s")):
        make(**options)
