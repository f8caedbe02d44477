"""A copy of the whole database in one file, and the database made from it anew.

Holds how PostgreSQL's own programs are asked for it. Must not know a table.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from oms.postgres import PostgresError, find_programs


def back_up(dsn: str, file: Path) -> None:
    """Write the database of `dsn` to a new file for its owner only. Raises PostgresError, OSError."""
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        _run("pg_dump", dsn, "--format=custom", f"--file={file}")
    except PostgresError:
        file.unlink()
        raise


def restore(dsn: str, file: Path) -> None:
    """Make what `back_up` wrote in the database of `dsn`, which has none of it yet: all of it, or on an error nothing.

    Raises PostgresError, also when the file was written by a newer PostgreSQL than this one.
    """
    _run("pg_restore", dsn, "--exit-on-error", "--single-transaction", "--no-owner", str(file.absolute()))


def _run(name: str, dsn: str, *options: str) -> None:
    address, password = without_password(dsn)
    environ = os.environ | ({"PGPASSWORD": password} if password is not None else {})
    ended = subprocess.run(  # noqa: S603  # a program of PostgreSQL's, no shell
        [find_programs().folder / name, "--no-password", f"--dbname={address}", *options],
        env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if ended.returncode:
        raise PostgresError(f"{name} failed: {ended.stdout.strip()}")


def without_password(dsn: str) -> tuple[str, str | None]:
    """The address of a database and the password that was in it: a command line is for all to see."""
    parts = urlsplit(dsn)
    login, at, hosts = parts.netloc.rpartition("@")
    user, colon, password = login.partition(":")
    found = unquote(password) if colon else None
    query = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, value) for name, value in query if name != "password"]
    found = next((value for name, value in query if name == "password"), found)
    address = f"{parts.scheme}://{user}{at}{hosts}{parts.path}"
    return address + (f"?{urlencode(kept, quote_via=quote)}" if kept else ""), found
