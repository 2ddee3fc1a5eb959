"""A real server for the tests that need one, and the promise that a run leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from sandlot.server.local import LocalServer
from tests.leftovers import Footprint

# Who starts a run in the background makes all its children deaf to these; what is tested here hears them.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

# How long an example takes says how busy the machine is; speed lives in bench/.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

TEMPLATES_DIR = Path(os.environ.get("SANDLOT_TEMPLATES_DIR", "/var/lib/sandlot/templates"))


@pytest.fixture(scope="session")
def footprint() -> Iterator[Footprint]:
    """What of ours is on the machine before; the same must be there after."""
    before = Footprint.take()
    yield before
    before.expect_same()


@pytest.fixture(scope="session")
def server(footprint: Footprint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """One server for the whole run, found by the SDK through the environment."""
    local = LocalServer(tmp_path_factory.mktemp("server"), TEMPLATES_DIR)
    local.start()
    os.environ |= local.environment
    try:
        yield local
    finally:
        for name in local.environment:
            os.environ.pop(name, None)
        local.end()


@pytest.fixture(params=["gvisor", "container"])
def isolation(request: pytest.FixtureRequest) -> str:
    """Each tier in turn. A tier that this host lacks fails the test: a promise untested is not kept."""
    return str(request.param)
