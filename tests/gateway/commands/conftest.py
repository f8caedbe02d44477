"""What the tests of administrating commands share: a database, and the command line as it is typed."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pytest
import structlog

from gateway.cli import main
from oms.postgres import Embedded
from oms.store.pool import Connection, connect
from tests import databases

T = TypeVar("T")


class Ran(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture
def dsn(postgres: Embedded, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database with all tables and no row, which commands find."""
    made = asyncio.run(databases.take(postgres))
    monkeypatch.setenv("TICKWIRE_DATABASE_URL", made)
    yield made
    asyncio.run(databases.give_back(postgres, made))


@pytest.fixture
def tickwire(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], empty_folder: None
) -> Iterator[Callable[..., Ran]]:
    """Run the entry point in this process, in a folder without configuration."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    configure = structlog.configure

    def configured(**settings: Any) -> None:
        """A logger that keeps its configuration would keep it in the tests that come after."""
        configure(**{**settings, "cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", configured)

    def run(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["tickwire", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return Ran(int(ended.value.code or 0), *capsys.readouterr())

    yield run
    root.handlers[:], level = before
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def exchanges(empty_folder: None) -> None:
    """A configuration with exchanges that accounts may be at: `sim`, a simulated one, and kraken itself."""
    Path("tickwire.toml").write_text(
        """[exchanges.sim]
class = "binance"
options.urls.api = { public = "http://127.0.0.1:9/api/v3", private = "http://127.0.0.1:9/api/v3" }

[exchanges.kraken]
class = "kraken"
"""
    )


@pytest.fixture
def ask(dsn: str) -> Callable[[Callable[[Connection], Awaitable[Any]]], Any]:
    """Ask the database something."""

    def ask(question: Callable[[Connection], Awaitable[T]]) -> T:
        async def asked() -> T:
            connection = await connect(dsn)
            try:
                return await question(connection)
            finally:
                await connection.close()

        return asyncio.run(asked())

    return ask
