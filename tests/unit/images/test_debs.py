"""An apt of the build's own, beside the host's."""

from __future__ import annotations

from sandlot.images.debs import choose, host_options


def test_of_alternatives_the_first_that_there_is() -> None:
    assert choose("a | b", {"a", "b"}) == "a"
    assert choose("a | b", {"b"}) == "b"
    assert choose("curl", {"curl"}) == "curl"


def test_where_there_is_none_apt_is_asked_for_the_last_and_says_so() -> None:
    assert choose("a | b", set()) == "b"


def test_of_the_hosts_options_only_how_it_reaches_mirrors_is_taken() -> None:
    assert all(line.startswith("Acquire::") for line in host_options().splitlines() if line)
