"""What stands between a guest and the host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sandlot.node import Node, NodeSandbox, RootFs, SandboxSpec, Tier
from tests.integration.node.conftest import Create, run


async def test_root_inside_is_nobody_outside(sandbox: NodeSandbox) -> None:
    await run(sandbox.agent, "touch /root/mine; chown 1000:1000 /root/mine; touch /root/roots")
    base = sandbox.parts.disk.ids.base
    written = sandbox.parts.disk.upper / "root"
    assert (written / "roots").stat().st_uid == base
    assert (written / "mine").stat().st_uid == base + 1000
    for pid in sandbox.parts.cgroup.processes():
        uids = _status(pid)["Uid"].split()
        assert all(int(uid) >= base for uid in uids), pid
    assert (await run(sandbox.agent, "stat -c %u /root/mine /etc/passwd")).out.split() == ["1000", "0"]


async def test_processes_of_the_host_are_not_seen(sandbox: NodeSandbox) -> None:
    pids = (await run(sandbox.agent, "ls -d /proc/[0-9]*")).out.split()
    assert len(pids) < 10
    assert (await run(sandbox.agent, "cat /proc/1/cmdline | tr '\\0' ' '")).out.startswith("/.sandlot/agent")


async def test_the_agents_secret_is_not_to_be_found(sandbox: NodeSandbox) -> None:
    found = await run(sandbox.agent, "env; cat /proc/1/environ; cat /proc/self/environ")
    assert "SANDLOT_SECRET=" not in found.out or "SANDLOT_SECRET=\0" in found.out
    record = sandbox.parts.disk.image.parent.parent / "sandboxes" / sandbox.id / "record.json"
    assert record.stat().st_mode & 0o077 == 0


async def test_the_agent_cannot_be_replaced(sandbox: NodeSandbox) -> None:
    ran = await run(sandbox.agent, "echo x > /.sandlot/agent; rm -f /.sandlot/agent; ls -l /.sandlot/agent")
    assert ran.exit.code == 0
    assert sandbox.parts.disk.agent.stat().st_size > 1000


async def test_files_that_set_the_user_id_give_nobody_rights(sandbox: NodeSandbox) -> None:
    await run(sandbox.agent, "cp /usr/bin/id /usr/bin/rootid; chmod u+s /usr/bin/rootid")
    assert (await run(sandbox.agent, "/usr/bin/rootid -u", user="1000:1000")).out == "1000\n"


async def test_devices_of_the_host_cannot_be_reached(sandbox: NodeSandbox) -> None:
    ran = await run(sandbox.agent, "mknod /root/disk b 254 0; head -c 1 /root/disk | wc -c; ls /dev")
    assert ran.out.split()[0] == "0"
    assert not {"vda", "sda", "mem", "kmem", "kvm", "loop0", "loop-control"} & set(ran.out.split())


async def test_the_template_stays_as_it_is(sandbox: NodeSandbox, layers: tuple[Path, ...]) -> None:
    before = (layers[-1] / "etc/passwd").read_bytes()
    await run(sandbox.agent, "echo evil >> /etc/passwd; rm -rf /usr/share/doc; mv /opt /opt2")
    assert (layers[-1] / "etc/passwd").read_bytes() == before
    assert (layers[-1] / "opt").is_dir()


async def test_a_template_with_hostile_links_does_not_lead_out(
    node: Node, spec: SandboxSpec, layers: tuple[Path, ...], tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "hosts").write_text("the host's")
    top = tmp_path / "hostile" / "rootfs"
    top.mkdir(parents=True)
    (top / "etc").symlink_to(precious)
    (top / "tmp").symlink_to("/../../../../../../" + str(tmp_path))
    with pytest.raises(Exception):  # noqa: B017 - the agent may or may not start in such a tree; the host must not care
        await node.create(replace(spec, rootfs=RootFs((top,))))
    assert (precious / "hosts").read_text() == "the host's"
    assert [path.name for path in precious.iterdir()] == ["hosts"]
    assert not (tmp_path / ".X11-unix").exists()


REFUSED = {
    "a new user namespace": "unshare --user true",
    "a new mount namespace": "unshare --mount true",
    "a mount": "mount -t tmpfs none /mnt",
    "a change of the host's name": "hostname other",
    "a kernel setting": "echo 1 > /proc/sys/kernel/sysrq",
    "the kernel's log": "dmesg",
    "a change of the clock": "date -s 2001-01-01",
    "another root": "mkdir -p /a/b && cd /a && pivot_root . b",
}


@pytest.mark.parametrize("tier", [Tier.CONTAINER], ids=str)
@pytest.mark.parametrize("what", REFUSED)
async def test_a_container_may_not_have(sandbox: NodeSandbox, what: str) -> None:
    assert (await run(sandbox.agent, REFUSED[what])).exit.code != 0


@pytest.mark.parametrize("tier", [Tier.CONTAINER], ids=str)
async def test_a_container_is_confined_as_promised(sandbox: NodeSandbox) -> None:
    status = dict(
        line.split(":\t", 1) for line in (await run(sandbox.agent, "cat /proc/self/status")).out.splitlines()
    )
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert int(status["CapBnd"], 16) & (1 << 21 | 1 << 12 | 1 << 19) == 0  # SYS_ADMIN, NET_ADMIN, SYS_PTRACE
    outside = _status(sandbox.parts.main.pid)
    assert outside["Seccomp"] == "2"


@pytest.mark.parametrize("tier", [Tier.CONTAINER], ids=str)
async def test_a_container_learns_little_of_the_host(sandbox: NodeSandbox) -> None:
    ran = await run(
        sandbox.agent, "cat /proc/kcore /proc/keys /proc/timer_list /proc/interrupts | wc -c; ls /sys"
    )
    assert ran.out.split() == ["0", "devices"]
    assert (await run(sandbox.agent, "ls /sys/devices; ls /sys/devices/system")).out.split() == [
        "system",
        "cpu",
    ]


@pytest.mark.parametrize("tier", [Tier.CONTAINER], ids=str)
@pytest.mark.parametrize("number", [321, 425, 250, 248, 323, 298, 272, 308, 304, 175])
async def test_dangerous_calls_do_not_exist(sandbox: NodeSandbox, number: int) -> None:
    """bpf, io_uring_setup, keyctl, add_key, userfaultfd, perf_event_open, unshare, setns, open_by_handle_at,
    init_module, by their numbers on x86-64."""
    program = (
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True);"
        f"print(libc.syscall({number}, 0, 0, 0, 0, 0), ctypes.get_errno())"
    )
    ran = await run(sandbox.agent, "python3", "-c", program)
    assert ran.out.split() in (["-1", "1"], ["-1", "38"])


@pytest.mark.parametrize("tier", [Tier.GVISOR], ids=str)
async def test_gvisor_answers_with_a_kernel_of_its_own(sandbox: NodeSandbox) -> None:
    host = Path("/proc/version").read_text()
    assert (await run(sandbox.agent, "cat /proc/version")).out != host
    memory = (await run(sandbox.agent, "head -1 /proc/meminfo")).out.split()
    assert int(memory[1]) == 256 * 1024


async def test_ports_below_1024_and_echo_requests_work(create: Create) -> None:
    sandbox = await create()
    program = "import socket; s = socket.socket(); s.bind(('', 80)); print('bound')"
    assert (await run(sandbox.agent, "python3", "-c", program, user="1000:1000")).out in ("bound\n", "")
    assert (await run(sandbox.agent, "python3", "-c", program)).out == "bound\n"


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)
