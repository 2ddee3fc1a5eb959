from __future__ import annotations

from sandlot.core.tokens import AccessTokens, Purpose

TOKENS = AccessTokens(b"a secret")


def test_a_token_opens_its_sandbox_and_no_other() -> None:
    token = TOKENS.of("sba", Purpose.AGENT)
    assert TOKENS.check("sba", Purpose.AGENT, token)
    assert not TOKENS.check("sbb", Purpose.AGENT, token)


def test_a_token_for_web_ports_runs_no_commands() -> None:
    assert not TOKENS.check("sba", Purpose.AGENT, TOKENS.of("sba", Purpose.INGRESS))


def test_another_server_has_other_tokens() -> None:
    assert AccessTokens(b"another").of("sba", Purpose.AGENT) != TOKENS.of("sba", Purpose.AGENT)


def test_what_is_no_token_opens_nothing() -> None:
    for given in (None, "", "ü\udcff", "0" * 40, TOKENS.of("sba", Purpose.AGENT)[:-1]):
        assert not TOKENS.check("sba", Purpose.AGENT, given)
