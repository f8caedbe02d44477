"""`tickwire db` as it is typed: on a database that is up to date, one that is not, and none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from oms.postgres import Embedded, Server
from oms.store.migrate import steps
from tests.gateway.commands.conftest import Ran
from tests.oms import database

Tickwire = Callable[..., Ran]
NAMES = [step.name for step in steps()]


@pytest.fixture
def empty_dsn(postgres: Embedded, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A new database without any table, which commands find."""
    made = asyncio.run(database.make_database(postgres.dsn, "template0"))
    monkeypatch.setenv("TICKWIRE_DATABASE_URL", made)
    yield made
    asyncio.run(database.drop_database(postgres.dsn, made))


def test_a_database_is_migrated_when_its_keeper_says_so(tickwire: Tickwire, empty_dsn: str) -> None:
    code, out, _ = tickwire("db", "status")
    assert (code, out.splitlines()[0]) == (0, f"database    {empty_dsn}")
    assert out.splitlines()[2] == f"schema      lacks {', '.join(NAMES)}: `tickwire db migrate`"
    refused = f"tickwire: the database lacks {', '.join(NAMES)}: run `tickwire db migrate`\n"
    assert tickwire("user", "list") == (1, "", refused)
    assert tickwire("db", "migrate") == (0, f"Took {', '.join(NAMES)}\n", "")
    assert tickwire("db", "migrate") == (0, "The database is up to date\n", "")
    assert tickwire("db", "status").out.splitlines()[2] == f"schema      up to date ({len(NAMES)} steps)"
    status = json.loads(tickwire("db", "status", "--json").out)
    assert (status["database"], status["applied"], status["waiting"]) == (empty_dsn, NAMES, [])
    assert int(status["postgresql"].split(".")[0]) >= 15
    assert tickwire("user", "list").code == 0


def test_our_own_database_asks_nothing_of_its_keeper(
    tickwire: Tickwire, empty_dsn: str, postgres: Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def ours(_dsn: str | None) -> AsyncIterator[Server]:
        yield Server(empty_dsn, postgres)

    monkeypatch.setattr("gateway.commands.database.serving", ours)
    told = tickwire("db", "status").out.splitlines()[2]
    assert told == f"schema      lacks {', '.join(NAMES)}: `tickwire serve` brings it up to date"


def test_a_backup_is_a_new_file(tickwire: Tickwire, dsn: str, tmp_path: Path) -> None:
    file = tmp_path / "x.dump"
    code, out, _ = tickwire("db", "backup", str(file))
    assert (code, out.startswith(f"The database is in {file}, {file.stat().st_size:,} bytes")) == (0, True)
    assert tickwire("db", "backup", str(file)) == (
        1, "", f"tickwire: {file} is there already: name another file\n",
    )  # fmt: skip
    nowhere = tmp_path / "no" / "x.dump"
    assert tickwire("db", "backup", str(nowhere)) == (
        1, "", f"tickwire: {nowhere} cannot be written: No such file or directory\n",
    )  # fmt: skip


def test_what_was_backed_up_is_restored_into_an_empty_database_only(
    tickwire: Tickwire, empty_dsn: str, postgres: Embedded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tickwire("db", "migrate")
    tickwire("user", "add", "ann")
    users, file = tickwire("user", "list").out, tmp_path / "x.dump"
    tickwire("db", "backup", str(file))
    refused = "tickwire: the database has tables already: name an empty one by TICKWIRE_DATABASE_URL\n"
    assert tickwire("db", "restore", str(file)) == (1, "", refused)
    made = asyncio.run(database.make_database(postgres.dsn, "template0"))
    monkeypatch.setenv("TICKWIRE_DATABASE_URL", made)
    nothing = tmp_path / "y.dump"
    assert tickwire("db", "restore", str(nothing)) == (1, "", f"tickwire: there is no file {nothing}\n")
    nothing.write_text("no backup")
    assert tickwire("db", "restore", str(nothing)).err.startswith("tickwire: pg_restore failed: ")
    code, out, _ = tickwire("db", "restore", str(file))
    assert (code, out.startswith(f"The database is as it was in {file}.")) == (0, True)
    assert tickwire("user", "list").out == users
    asyncio.run(database.drop_database(postgres.dsn, made))
