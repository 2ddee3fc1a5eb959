from __future__ import annotations

import pytest

from sandlot import InvalidArgumentError, NotFoundError, Sandbox, SandboxGoneError, Server

from .stub import Stub


def test_what_is_not_given_is_left_to_the_server(stub: Stub) -> None:
    Sandbox.create()
    options = {"cpus": 2, "memory_mib": 5, "isolation": "container", "env": {"A": "b"}}
    Sandbox.create("x", timeout=None, internet=False, **options)
    assert stub.bodies == [
        {"template": "base", "timeout_s": 300},
        {"template": "x", "timeout_s": None, "internet": False, **options},
    ]


def test_where_its_ports_are(stub: Stub) -> None:
    made = Sandbox.create(ingress="token")
    for sandbox in (made, Sandbox.connect(made.id)):
        assert sandbox.get_url(3000) == f"https://3000-{made.id}.box.test"
        assert sandbox.get_host(80) == f"80-{made.id}.box.test"
    assert made.info().ingress_token == "t"
    for port in (0, 65536, -1):
        with pytest.raises(InvalidArgumentError, match="1 to 65535"):
            made.get_url(port)


def test_the_block_ends_the_sandbox(stub: Stub) -> None:
    with Sandbox.create() as sandbox:
        assert sandbox.info().state == "running"
    assert sandbox.info().state == "killed"
    with pytest.raises(SandboxGoneError, match="killed by request"):
        sandbox.metrics()


def test_an_error_in_the_block_is_not_hidden_by_its_end(stub: Stub) -> None:
    with pytest.raises(ZeroDivisionError), Sandbox.create() as sandbox:  # noqa: PT012
        stub.boxes.clear()
        raise ZeroDivisionError
    with pytest.raises(NotFoundError):
        sandbox.info()


def test_connect_info_timeout_metrics_events(stub: Stub) -> None:
    sandbox = Sandbox.create(metadata={"job": "x"})
    same = Sandbox.connect(sandbox.id)
    info = same.info()
    assert (info.id, info.template, info.isolation) == (sandbox.id, "base", "gvisor")
    assert info.metadata == {"job": "x"}
    assert info.created_at is not None
    assert info.deadline is not None
    assert 290 < (info.deadline - info.created_at).total_seconds() <= 301
    assert same.set_timeout(None).deadline is None
    assert same.metrics().memory_bytes == 10 * 1024 * 1024
    assert same.kill() is True
    assert same.kill() is False
    assert [event.after for event in same.events()] == ["creating", "running", "killed"]
    with pytest.raises(NotFoundError, match="sbnothing"):
        Sandbox.connect("sbnothing")


def test_list_goes_through_the_pages(stub: Stub) -> None:
    ids = [Sandbox.create(metadata={"n": str(number % 2)}).id for number in range(5)]
    Sandbox.connect(ids[4]).kill()
    stub.page_size = 2
    assert [info.id for info in Sandbox.list()] == ids[:4]
    assert [info.id for info in Sandbox.list(metadata={"n": "1"})] == [ids[1], ids[3]]
    assert [info.id for info in Sandbox.list(state="killed")] == [ids[4]]
    assert len(list(Sandbox.list(state=["running", "killed"]))) == 5


def test_one_connection_serves_many_handles(stub: Stub) -> None:
    for _ in range(3):
        with Sandbox.create() as sandbox:
            sandbox.commands.run("true")
            Sandbox.connect(sandbox.id)
    assert len(stub.connections) == 1


def test_the_server_tells_what_it_has(stub: Stub) -> None:
    server = Server()
    assert server.url == stub.url
    assert server.is_ready()
    assert [(template.name, template.size) for template in server.templates()] == [("base", 5)]
    assert server.host()["cgroup_version"] == 2
    assert not Server("http://127.0.0.1:9").is_ready()
