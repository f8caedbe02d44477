"""A copy of the whole database in one file, which `pg_restore` reads.

Holds how PostgreSQL's own program is asked for it. Must not know a table.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from oms.postgres import PostgresError, find_programs


def back_up(dsn: str, file: Path) -> None:
    """Write the database of `dsn` to a new file for its owner only. Raises PostgresError, OSError."""
    program = find_programs().folder / "pg_dump"
    address, password = without_password(dsn)
    environ = os.environ | ({"PGPASSWORD": password} if password is not None else {})
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    ended = subprocess.run(  # noqa: S603  # a program of PostgreSQL's, no shell
        [program, "--format=custom", "--no-password", f"--file={file}", f"--dbname={address}"],
        env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if ended.returncode:
        file.unlink()
        raise PostgresError(f"pg_dump failed: {ended.stdout.strip()}")


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
