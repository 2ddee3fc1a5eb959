from __future__ import annotations

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandlot.network.dns import MAX_SERVERS, Refused, check_query, is_answer, parse_resolv_conf

QUERY = dns.message.make_query("example.com", "A", id=0x1234, use_edns=0)


def judge(wire: bytes) -> dns.message.Message | bytes | None:
    try:
        return check_query(wire)
    except Refused as refused:
        return refused.answer


def refusal(wire: bytes) -> bytes | None:
    with pytest.raises(Refused) as caught:
        check_query(wire)
    return caught.value.answer


def rcode(wire: bytes | None) -> dns.rcode.Rcode:
    assert wire is not None
    return dns.message.from_wire(wire).rcode()


def test_an_ordinary_query_passes() -> None:
    assert check_query(QUERY.to_wire()).question == QUERY.question


@given(st.binary(max_size=600))
def test_any_bytes_are_a_query_or_refused(wire: bytes) -> None:
    outcome = judge(wire)
    if isinstance(outcome, dns.message.Message):
        assert len(outcome.question) == 1
    elif outcome is not None:
        assert outcome[:2] == wire[:2]
        assert outcome[2] & 0x80
        assert len(outcome) == 12


@given(st.integers(0, 28), st.integers(0, 255))
def test_a_damaged_query_is_a_query_or_refused(position: int, value: int) -> None:
    wire = bytearray(QUERY.to_wire())
    wire[position] = value
    outcome = judge(bytes(wire))
    assert outcome is None or isinstance(outcome, dns.message.Message) or outcome[:2] == wire[:2]


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (dns.message.make_query("example.com", "AXFR").to_wire(), dns.rcode.REFUSED),
        (dns.message.make_query("example.com", "IXFR").to_wire(), dns.rcode.REFUSED),
        (dns.message.make_query("version.bind", "TXT", "CH").to_wire(), dns.rcode.REFUSED),
        (bytes.fromhex("123401000000000000000000"), dns.rcode.FORMERR),
        (QUERY.to_wire()[:-3], dns.rcode.FORMERR),
    ],
)
def test_what_is_not_passed_on_is_answered(wire: bytes, expected: dns.rcode.Rcode) -> None:
    assert rcode(refusal(wire)) == expected


def test_other_operations_are_not_implemented() -> None:
    wire = bytearray(QUERY.to_wire())
    wire[2] |= dns.opcode.UPDATE << 3
    answer = refusal(bytes(wire))
    assert answer is not None
    assert answer[3] & 0xF == dns.rcode.NOTIMP


def test_answers_and_fragments_are_never_answered() -> None:
    """Or two servers could be made to talk to each other for ever."""
    assert refusal(dns.message.make_response(QUERY).to_wire()) is None
    assert refusal(QUERY.to_wire()[:11]) is None


def test_only_an_answer_to_the_question_is_one() -> None:
    answer = dns.message.make_response(QUERY).to_wire()
    assert is_answer(answer, 0x1234, QUERY)
    assert not is_answer(answer, 0x1235, QUERY)
    assert not is_answer(QUERY.to_wire(), 0x1234, QUERY)
    other = dns.message.make_response(dns.message.make_query("example.org", "A", id=0x1234)).to_wire()
    assert not is_answer(other, 0x1234, QUERY)


def test_an_error_may_leave_the_question_out_and_nothing_else_may() -> None:
    assert is_answer(bytes.fromhex("123481020000000000000000"), 0x1234, QUERY)
    assert not is_answer(bytes.fromhex("123481000000000000000000"), 0x1234, QUERY)


@given(st.binary(max_size=300))
def test_any_bytes_from_a_server_are_judged(wire: bytes) -> None:
    is_answer(b"\x12\x34\x81" + wire, 0x1234, QUERY)


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n", ["127.0.0.53"]),
        (
            "# nameserver 9.9.9.9\nnameserver   1.2.3.4 # trailing\nnameserver fe80::1%eth0\n",
            ["1.2.3.4", "fe80::1%eth0"],
        ),
        ("nameserver not-an-address\nnameserver\n", ["127.0.0.1"]),
        ("", ["127.0.0.1"]),
    ],
)
def test_resolv_conf(text: str, servers: list[str]) -> None:
    assert parse_resolv_conf(text) == servers


@given(st.text(max_size=300))
def test_any_resolv_conf_gives_some_servers(text: str) -> None:
    assert 1 <= len(parse_resolv_conf(text)) <= MAX_SERVERS
