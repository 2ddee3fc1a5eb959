from __future__ import annotations

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from sandlot.cli.main import app
from tests.unit.sdk.conftest import no_credentials, stub
from tests.unit.sdk.stub import Stub

__all__ = ["no_credentials", "stub"]

Sandlot = Callable[..., Result]


@pytest.fixture
def sandlot(stub: Stub) -> Sandlot:
    """Runs the command; anything but an orderly exit fails the test."""
    runner = CliRunner()

    def run(*words: str, code: int = 0, input: str | bytes | None = None) -> Result:
        result = runner.invoke(app, list(words), input=input, prog_name="sandlot")
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def sandbox(sandlot: Sandlot) -> str:
    """The id of a sandbox."""
    return sandlot("create").stdout.strip()
