"""What guests send to the forwarder, and what a resolver may answer."""

from __future__ import annotations

from sandlot.network.dns import MAX_QUERY, Refused, check_query, is_answer, parse_resolv_conf


def one_input(data: bytes) -> None:
    parse_resolv_conf(data[:512].decode("utf-8", "replace"))
    query, answer = data[:MAX_QUERY], data[len(data) // 2 :]
    for wire in (query, data[: len(data) // 2]):
        try:
            known = check_query(wire)
        except Refused as refused:
            if refused.answer is not None and len(refused.answer) != 12:
                raise AssertionError("a refusal is a header alone") from None
            continue
        identifier = int.from_bytes(answer[:2], "big")
        is_answer(answer, identifier, known)
        is_answer(wire[:2] + bytes((wire[2] | 0x80,)) + wire[3:], int.from_bytes(wire[:2], "big"), known)
