"""A real PostgreSQL for tests: one embedded server a process, and a new migrated database for whoever asks.

Holds fixtures' parts that other folders' tests may use too. Must not know what is tested with them.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oms.postgres import Embedded, Programs
from oms.store.migrate import migrate
from oms.store.pool import connect
from tests.leaks import leaked

# What a power cut would do is not tested, so nothing waits for the disk. What a kill does is: commits stay synchronous.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "60"}
TEMPLATE = "migrated"
_numbers = itertools.count(1)


@contextmanager
def embedded(programs: Programs | None = None) -> Iterator[Embedded]:
    """A server in a folder of its own, gone with it. As root its account must reach the folder, so it is in /tmp."""
    folder = Path(tempfile.mkdtemp(prefix="tickwire-", dir="/tmp"))
    folder.chmod(0o755)
    server = Embedded(folder, SETTINGS, programs=programs)
    try:
        server.start()
        yield server
        for log in server.folder.glob("postgres.log*"):
            assert not leaked(log.read_text(errors="replace")), "the server's log has a secret"
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=os.geteuid() != 0)


def of(dsn: str, database: str) -> str:
    """The address of another database of the same server."""
    return dsn.replace("@/postgres?", f"@/{database}?")


async def make_template(dsn: str) -> None:
    """A migrated database that others are copied from; once a server."""
    connection = await connect(dsn)
    try:
        await connection.execute(f"CREATE DATABASE {TEMPLATE}")
    finally:
        await connection.close()
    connection = await connect(of(dsn, TEMPLATE))
    try:
        await migrate(connection)
    finally:
        await connection.close()


async def make_database(dsn: str, template: str = TEMPLATE) -> str:
    """The address of a new database."""
    name = f"test_{next(_numbers)}"
    connection = await connect(dsn)
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    finally:
        await connection.close()
    return of(dsn, name)


# What a test may have done to a database beside its rows: none of these is changed by rows that come and go.
SHAPE = """
SELECT concat_ws(' ',
    (SELECT concat(count(*), ':', max(xmin::text::bigint)) FROM pg_class WHERE oid >= 16384),
    (SELECT concat(count(*), ':', max(xmin::text::bigint)) FROM pg_attribute WHERE attrelid >= 16384),
    (SELECT concat(count(*), ':', max(xmin::text::bigint)) FROM pg_constraint WHERE oid >= 16384),
    (SELECT concat(count(*), ':', max(xmin::text::bigint)) FROM pg_trigger WHERE oid >= 16384),
    (SELECT concat(count(*), ':', max(xmin::text::bigint)) FROM pg_proc WHERE oid >= 16384),
    (SELECT string_agg(setconfig::text, ' ') FROM pg_db_role_setting),
    (SELECT concat(count(*), ':', max(xmin::text::bigint)) FROM schema_migrations))
"""
ENDED = """
SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
EMPTIED = """
DO $$ DECLARE each text; BEGIN
    SET LOCAL session_replication_role = replica;  -- in any order
    FOR each IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_migrations' LOOP
        EXECUTE format('DELETE FROM %I', each);
    END LOOP;
    PERFORM setval(format('%I', sequencename), 1, false) FROM pg_sequences WHERE schemaname = 'public';
END $$
"""


async def shape_of(made: str) -> str:
    """By which a database that was changed differs from one that only had rows."""
    connection = await connect(made)
    try:
        return str(await connection.fetchval(SHAPE))
    finally:
        await connection.close()


async def empty_database(made: str, shape: str) -> bool:
    """Make a used database as a new one, a tenth of the work of a new one; False: it has become another."""
    connection = await connect(made)
    try:
        await connection.execute(ENDED)
        if await connection.fetchval(SHAPE) != shape:
            return False
        await connection.execute(EMPTIED)
        return True
    finally:
        await connection.close()


async def drop_database(dsn: str, made: str) -> None:
    """Throw a database away, with whoever is still connected to it."""
    name = made.split("@/", 1)[1].split("?", 1)[0]
    connection = await connect(dsn)
    try:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()
