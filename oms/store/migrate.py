"""The schema's versions: which steps there are, which a database has taken, and how it takes the rest.

Holds the order of steps and the proof that none was changed after it ran. Must not know what a step does.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from importlib import resources
from typing import Final, NamedTuple

from oms.store.pool import Connection

LOCK: Final = 0x7469636B  # one process at a time migrates a database
VERSION_MIN: Final = 15
TABLE: Final = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version integer PRIMARY KEY,
    name text NOT NULL,
    checksum bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


class MigrationError(Exception):
    """A database that this program must not touch; the message says why."""


class Step(NamedTuple):
    """One numbered file of `oms/schema/`."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> bytes:
        return hashlib.sha256(self.sql.encode()).digest()


class Applied(NamedTuple):
    """A step that a database has taken."""

    version: int
    name: str
    checksum: bytes
    applied_at: datetime


class Status(NamedTuple):
    """What a database has taken, and what it still lacks."""

    applied: list[Applied]
    waiting: list[Step]


def steps() -> list[Step]:
    """The steps of this program, in order."""
    found = []
    for file in resources.files("oms").joinpath("schema").iterdir():
        if match := re.fullmatch(r"(\d{4})_\w+\.sql", file.name):
            found.append(Step(int(match[1]), file.name, file.read_text(encoding="utf-8")))
    found.sort()
    assert [step.version for step in found] == list(range(1, len(found) + 1)), "schema files are numbered 1, 2, ..."
    return found


async def status(connection: Connection, known: Sequence[Step] | None = None) -> Status:
    """Compare a database with this program; MigrationError when they do not belong together. Changes nothing."""
    known = steps() if known is None else known
    if (number := connection.get_server_version()).major < VERSION_MIN:
        raise MigrationError(f"PostgreSQL {VERSION_MIN} or newer is needed; this server is {number.major}")
    applied: list[Applied] = []
    if await connection.fetchval("SELECT to_regclass('schema_migrations') IS NOT NULL"):
        rows = await connection.fetch("SELECT version, name, checksum, applied_at FROM schema_migrations ORDER BY 1")
        applied = [Applied(*row.values()) for row in rows]
    if len(applied) > len(known):
        raise MigrationError(
            f"the database is at version {applied[-1].version} ({applied[-1].name}) and this program knows "
            f"{len(known)}: use the newer program, or a backup from before"
        )
    for have, step in zip(applied, known, strict=False):
        if (have.version, have.checksum) != (step.version, step.checksum):
            raise MigrationError(
                f"{step.name} is not what the database took as {have.name} on {have.applied_at:%Y-%m-%d}: "
                "a step must never change after it ran"
            )
    return Status(applied, list(known[len(applied) :]))


async def migrate(connection: Connection, known: Sequence[Step] | None = None) -> list[Step]:
    """Take the steps that are waiting, each in a transaction of its own; which ones these were."""
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
    try:
        waiting = (await status(connection, known)).waiting
        if waiting:
            await connection.execute(TABLE)
        for step in waiting:
            async with connection.transaction():
                await connection.execute(step.sql)
                await connection.execute(
                    "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)",
                    step.version, step.name, step.checksum,
                )  # fmt: skip
        return waiting
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)


async def require_current(connection: Connection) -> None:
    """MigrationError unless the database is at this program's version."""
    if waiting := (await status(connection)).waiting:
        raise MigrationError(
            f"the database lacks {', '.join(step.name for step in waiting)}: run `tickwire db migrate`"
        )
