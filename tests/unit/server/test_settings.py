from __future__ import annotations

import re
from pathlib import Path

import pytest

from sandlot.core.limits import Limits
from sandlot.errors import InvalidArgument
from sandlot.node import Tier
from sandlot.server.settings import Settings, load

DOCS = Path(__file__).parents[3] / "docs" / "configuration.md"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No settings file but the test's own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_flags_win_over_the_environment_and_that_over_the_file(elsewhere: Path) -> None:
    (elsewhere / "sandlot.toml").write_text('port = 1\nhost = "::1"\nmax_pids = 9\n')
    environment = {"SANDLOT_PORT": "2", "SANDLOT_HOST": "localhost"}
    settings = load({"port": 3, "host": None}, environment=environment)
    assert (settings.port, settings.host, settings.max_pids, settings.max_cpus) == (3, "localhost", 9, 64.0)


def test_without_anything_the_defaults_are_the_engines(elsewhere: Path) -> None:
    settings = load(environment={})
    assert settings.limits() == Limits()
    assert settings.url == "http://127.0.0.1:7263"
    assert settings.templates_folder == Path("/var/lib/sandlot/templates")


def test_every_kind_of_value_from_the_environment() -> None:
    environment = {
        "SANDLOT_DEFAULT_ISOLATION": "container",
        "SANDLOT_ACCESS_LOG": "true",
        "SANDLOT_MAX_UPLOAD_MIB": "5",
        "SANDLOT_DATA_DIR": "data",
        "SANDLOT_DEFAULT_CPUS": "0.5",
        "SANDLOT_TEMPLATES_DIR": "",
        "SANDLOT_URL": "http://elsewhere",
        "SANDLOT_API_KEY": "sl_x",
        "HOME": "/root",
    }
    settings = load(environment=environment)
    assert settings.limits().default_isolation is Tier.CONTAINER
    assert (settings.access_log, settings.max_upload_mib, settings.default_cpus) == (True, 5, 0.5)
    assert settings.data_dir == Path.cwd() / "data"
    assert settings.node().data_dir == settings.data_dir


@pytest.mark.parametrize(
    ("flags", "environment", "file", "says"),
    [
        ({}, {"SANDLOT_MAX_SANDBOXS": "5"}, "", "SANDLOT_MAX_SANDBOXS; did you mean SANDLOT_MAX_SANDBOXES"),
        ({"max_sandboxs": 5}, {}, "", "--max-sandboxs; did you mean --max-sandboxes"),
        (
            {},
            {},
            "max_sandboxs = 5",
            "sandlot.toml: there is no setting max_sandboxs; did you mean max_sandboxes",
        ),
        ({}, {}, "qqqqqq = 5", "docs/configuration.md"),
        ({}, {"SANDLOT_PORT": "http"}, "", "SANDLOT_PORT: .*'http'"),
        ({"port": 0}, {}, "", "--port: .*0"),
        ({}, {}, "port = 70000", "sandlot.toml: port: .*70000"),
        ({}, {}, "default_isolation = 'vm'", "default_isolation: .*'gvisor'"),
        ({}, {}, "port = ", "not TOML"),
        ({}, {"SANDLOT_CONFIG": "/nowhere.toml"}, "", "/nowhere.toml cannot be read"),
        ({}, {}, "max_timeout_s = nan", "max_timeout_s"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    elsewhere: Path, flags: dict[str, object], environment: dict[str, str], file: str, says: str
) -> None:
    if file:
        (elsewhere / "sandlot.toml").write_text(file)
    with pytest.raises(InvalidArgument, match=says):
        load(flags, environment=environment)


def test_a_named_file_is_read_instead_of_the_usual_ones(elsewhere: Path) -> None:
    (elsewhere / "sandlot.toml").write_text("port = 1")
    (elsewhere / "other.toml").write_text("port = 2")
    assert load(file=elsewhere / "other.toml", environment={}).port == 2
    assert load(environment={"SANDLOT_CONFIG": str(elsewhere / "other.toml")}).port == 2


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:7263"), ("::", "http://[::1]:7263"), ("10.0.0.1", "http://10.0.0.1:7263")],
)
def test_how_this_machine_reaches_it(host: str, url: str) -> None:
    assert load({"host": host}, environment={}).url == url


def test_every_setting_is_documented_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| `?([^`|]*?)`? \|", DOCS.read_text(), re.MULTILINE))
    assert rows.keys() == Settings.model_fields.keys()
    settings = Settings()
    for name, written in rows.items():
        value = getattr(settings, name)
        if value is not None:
            assert written == (str(value).lower() if isinstance(value, bool) else str(value)), name


def test_networks_come_as_a_list_or_as_words(elsewhere: Path) -> None:
    (elsewhere / "sandlot.toml").write_text('network_allow = ["10.1.2.0/24"]')
    assert load(environment={}).node().network_allow == ("10.1.2.0/24",)
    allowed = load(environment={"SANDLOT_NETWORK_ALLOW": "10.1.0.0/16, 10.2.0.0/16"}).network_allow
    assert allowed == ("10.1.0.0/16", "10.2.0.0/16")
    with pytest.raises(InvalidArgument, match=r"SANDLOT_NETWORK_ALLOW.*10\.1\.0\.0/99"):
        load(environment={"SANDLOT_NETWORK_ALLOW": "10.1.0.0/99"})
