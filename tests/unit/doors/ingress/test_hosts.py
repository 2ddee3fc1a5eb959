"""A host name says which port of which sandbox, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandlot.core.ids import new_sandbox_id
from sandlot.doors.ingress.hosts import Address, host_of, parse_host

ID = "sbh4q2mzk7c5xw3nafj6td"
domains = st.sampled_from(["localhost", "localhost:7263", "box.test", "a-b.example.org:8443"])
ports = st.integers(1, 65535)


@given(ports, domains, st.booleans(), st.sampled_from(["", ":80", ":7263", ".", ".:443"]))
def test_what_is_handed_out_is_understood(port: int, domain: str, loud: bool, end: str) -> None:
    sandbox_id = new_sandbox_id()
    host = host_of(port, sandbox_id, domain)
    assert parse_host(host, domain) == Address(port, sandbox_id)
    bare = host.partition(":")[0] + end
    assert parse_host(bare.upper() if loud else bare, domain) == Address(port, sandbox_id)


@given(ports, st.sampled_from(["localhost", "box.test"]))
def test_a_name_in_another_domain_is_none(port: int, domain: str) -> None:
    host = host_of(port, ID, domain)
    for other in ("example.org", "test", "x.box.test", "notlocalhost", f"{ID}.{domain}"):
        assert parse_host(host, other) is None
    assert parse_host(f"{host}.evil.test", domain) is None
    assert parse_host(f"evil.{host}", domain) is None


@given(st.text(max_size=80), domains)
def test_any_text_is_an_address_or_none(text: str, domain: str) -> None:
    address = parse_host(text, domain)
    if address is not None:
        assert parse_host(host_of(address.port, address.sandbox_id, domain), domain) == address


@pytest.mark.parametrize(
    "host",
    [
        "", "localhost", "localhost:7263", f"{ID}.localhost", f"0-{ID}.localhost", f"65536-{ID}.localhost",
        f"080-{ID}.localhost", f"-{ID}.localhost", f"３-{ID}.localhost", f"1e3-{ID}.localhost",
        "3000-sb.localhost", "3000-sbh4q2mzk7c5xw3nafj6t1.localhost", f"3000-{ID}x.localhost",
        f"3000-{ID}-.localhost", f"3000-{ID}-a-b.localhost", f"3000-{ID}localhost",
    ],
)  # fmt: skip
def test_what_only_looks_like_one_is_none(host: str) -> None:
    assert parse_host(host, "localhost") is None


def test_older_clients_put_a_second_id_behind() -> None:
    assert parse_host(f"49983-{ID}-0a1b.box.test", "box.test") == Address(49983, ID)
