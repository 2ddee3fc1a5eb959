from __future__ import annotations

import stat
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandlot.server.credentials import introduce
from sandlot.store import Database, KeyStore, sqlite_url

URL = "http://127.0.0.1:7263"


@pytest.fixture
async def keys(tmp_path: Path) -> AsyncIterator[KeyStore]:
    database = Database(sqlite_url(tmp_path / "db"))
    await database.open()
    yield KeyStore(database)
    await database.close()


async def test_the_first_start_makes_a_key_says_it_and_keeps_it_for_clients(
    keys: KeyStore, tmp_path: Path
) -> None:
    said: list[str] = []
    path = tmp_path / "config" / "sandlot" / "credentials.toml"
    await introduce(keys, URL, path, said.append)
    kept = tomllib.loads(path.read_text())
    assert kept["url"] == URL
    assert await keys.holder(kept["api_key"]) is not None
    assert sum(kept["api_key"] in line for line in said) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["credentials.toml"]


async def test_later_starts_say_and_write_nothing(keys: KeyStore, tmp_path: Path) -> None:
    info, _ = await keys.create("mine")
    await keys.revoke(info.id)
    said: list[str] = []
    await introduce(keys, URL, tmp_path / "credentials.toml", said.append)
    assert said == []
    assert not (tmp_path / "credentials.toml").exists()
    assert len(await keys.all()) == 1


@pytest.mark.parametrize(
    "there", ['url = "http://other"\napi_key = "sl_1"\n', "not toml", 'api_key = "sl_1"\n']
)
async def test_another_servers_entry_is_left_alone_and_that_is_said(
    keys: KeyStore, tmp_path: Path, there: str
) -> None:
    path = tmp_path / "credentials.toml"
    path.write_text(there)
    said: list[str] = []
    await introduce(keys, URL, path, said.append)
    assert path.read_text() == there
    assert any("left alone" in line for line in said)
    assert any(f"SANDLOT_URL={URL}" in line for line in said)


async def test_this_servers_old_entry_is_replaced(keys: KeyStore, tmp_path: Path) -> None:
    path = tmp_path / "credentials.toml"
    path.write_text(f'url = "{URL}"\napi_key = "sl_old"\n')
    await introduce(keys, URL, path, lambda _: None)
    assert await keys.holder(tomllib.loads(path.read_text())["api_key"]) is not None


async def test_a_server_that_moved_mends_its_own_entry(keys: KeyStore, tmp_path: Path) -> None:
    path = tmp_path / "credentials.toml"
    _, key = await keys.create("mine")
    path.write_text(f'url = "http://127.0.0.1:1"\napi_key = "{key}"\n')
    await introduce(keys, URL, path, lambda _: None)
    assert tomllib.loads(path.read_text()) == {"url": URL, "api_key": key}


async def test_a_server_that_has_keys_leaves_anothers_entry_alone(keys: KeyStore, tmp_path: Path) -> None:
    path = tmp_path / "credentials.toml"
    await keys.create("mine")
    there = 'url = "http://127.0.0.1:1"\napi_key = "sl_other"\n'
    path.write_text(there)
    await introduce(keys, URL, path, lambda _: None)
    assert path.read_text() == there


async def test_a_folder_that_cannot_be_written_is_no_reason_not_to_start(
    keys: KeyStore, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    said: list[str] = []
    await introduce(keys, URL, tmp_path / "file" / "credentials.toml", said.append)
    assert any("cannot be written" in line for line in said)
