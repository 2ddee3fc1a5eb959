"""Which of a host's package sources a template is built from. Host names here are made up."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandlot.errors import Unavailable
from sandlot.images.apt import (
    AptSource,
    parse_deb822,
    parse_one_line,
    read_sources,
    render_deb822,
    select_archive,
)

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def stanza(uri: str, suites: str, components: str = "main", **more: str) -> str:
    fields = {"Types": "deb", "URIs": uri, "Suites": suites, "Components": components, **more}
    return "".join(f"{name.replace('_', '-')}: {value}\n" for name, value in fields.items()) + "\n"


def chosen(text: str, codename: str = "bookworm") -> list[tuple[str, ...]]:
    archive = select_archive(parse_deb822(text), os="debian", codename=codename, architecture="amd64")
    return [(source.uris[0], *source.suites) for source in archive.sources]


def test_one_line_style_with_options_comments_and_source_packages() -> None:
    text = f"""
    # deb http://off.test/debian bookworm main
    deb [ signed-by={KEYRING} arch=amd64 ] http://mirror.test/debian bookworm main contrib  # trailing
    deb-src http://mirror.test/debian bookworm main
    deb [trusted=yes] file:/srv/repo ./
    deb http://nothing.test/debian
    """
    assert parse_one_line(text) == [
        AptSource(("http://mirror.test/debian",), ("bookworm",), ("main", "contrib"), KEYRING),
        AptSource(("file:/srv/repo",), ("./",), (), None, trusted=True),
    ]


def test_deb822_with_comments_disabled_stanzas_and_several_values() -> None:
    text = (
        "# a comment\n"
        + stanza("http://a.test/debian http://b.test/debian", "bookworm bookworm-updates", Signed_By=KEYRING)
        + stanza("http://off.test/debian", "bookworm", Enabled="no")
        + stanza("http://sources.test/debian", "bookworm").replace("Types: deb\n", "Types: deb-src\n")
    )
    assert parse_deb822(text) == [
        AptSource(
            ("http://a.test/debian", "http://b.test/debian"),
            ("bookworm", "bookworm-updates"),
            ("main",),
            KEYRING,
        )
    ]


def test_an_embedded_key_survives_reading_and_writing() -> None:
    text = stanza("http://a.test/debian", "bookworm").rstrip() + (
        "\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abcd\n -----END KEY BLOCK-----\n"
    )
    [source] = parse_deb822(text)
    assert source.signed_by is not None
    assert source.signed_by.splitlines()[2] == "abcd"
    assert parse_deb822(render_deb822([source])) == [source]


_word = st.from_regex(r"[a-z0-9][a-z0-9.:/+-]{0,20}", fullmatch=True)
_words = st.lists(_word, min_size=1, max_size=3).map(tuple)


@given(
    st.lists(
        st.builds(
            AptSource,
            uris=_words,
            suites=_words,
            components=_words,
            signed_by=st.none() | st.lists(_word, min_size=1, max_size=4).map("\n".join),
            trusted=st.booleans(),
        ),
        max_size=4,
    )
)
def test_what_is_written_is_read_back(sources: list[AptSource]) -> None:
    assert parse_deb822(render_deb822(sources)) == sources


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    parse_deb822(text)
    parse_one_line(text)


def test_files_are_read_as_apt_does_and_others_ignored(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text("deb http://one.test/debian bookworm main\n")
    (parts / "b.sources").write_text(stanza("http://two.test/debian", "bookworm"))
    (parts / "c.sources.disabled").write_text(stanza("http://off.test/debian", "bookworm"))
    assert [source.uris[0] for source in read_sources(tmp_path)] == [
        "http://one.test/debian",
        "http://two.test/debian",
    ]


def test_a_mirror_list_is_replaced_by_the_mirrors_in_it(tmp_path: Path) -> None:
    mirrors = tmp_path / "mirrors.list"
    mirrors.write_text("# nearest first\nhttp://near.test/debian\tpriority:1\nhttp://far.test/debian\n")
    (tmp_path / "sources.list").write_text(f"deb mirror+file:{mirrors} bookworm main\n")
    [source] = read_sources(tmp_path)
    assert source.uris == ("http://near.test/debian", "http://far.test/debian")


def test_only_the_release_its_updates_and_its_security_fixes_are_taken() -> None:
    text = stanza("http://m.test/debian", "bookworm bookworm-updates bookworm-backports", "main non-free")
    text += stanza("http://m.test/debian-security", "bookworm-security")
    text += stanza("http://m.test/debian", "trixie")
    assert chosen(text) == [
        ("http://m.test/debian", "bookworm", "bookworm-updates"),
        ("http://m.test/debian-security", "bookworm-security"),
    ]


@pytest.mark.parametrize(
    "third_party",
    [
        stanza(
            "https://tools.test/linux/debian", "bookworm", "stable", Signed_By="/etc/apt/keyrings/tools.asc"
        ),
        stanza("https://vendor.test/debian/12/prod", "bookworm", Signed_By="/usr/share/keyrings/vendor.gpg"),
        stanza("https://vendor.test/debian/12/prod", "bookworm"),
        stanza("https://database.test/pub", "bookworm-db"),
        stanza("https://runtime.test/node", "nodistro"),
    ],
)
@pytest.mark.parametrize("signing", [{"Signed_By": KEYRING}, {}])
def test_third_party_sources_are_left_out(third_party: str, signing: dict[str, str]) -> None:
    assert chosen(third_party + stanza("http://m.test/debian", "bookworm", **signing)) == [
        ("http://m.test/debian", "bookworm")
    ]


def test_a_house_mirror_with_its_own_path_and_key_is_taken_where_it_is_all_there_is() -> None:
    text = stanza("https://mirror.house.test/os-remote", "bookworm", Signed_By="/etc/apt/keyrings/house.gpg")
    assert chosen(text) == [("https://mirror.house.test/os-remote", "bookworm")]


def test_a_host_without_its_own_archive_is_told_what_to_add() -> None:
    with pytest.raises(Unavailable, match=r"bookworm.*apt-get update"):
        chosen(stanza("http://m.test/debian", "trixie"))
